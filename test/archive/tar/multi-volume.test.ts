import { chmod, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { joinVolumes } from '../../../dom0-agent/archive/tar/multi-volume.ts';
import { DamagedError } from '../../../shared/errors.ts';
import {
  chunked,
  collect,
  pattern,
  scratch,
  sparseContent,
  sparseFile,
  tar,
  unpack,
} from './gnu-tar.ts';

const directory = await scratch();
const LONG = 'n'.repeat(130);
const SPARSE = {
  size: 3_000_000,
  runs: Array.from({ length: 30 }, (_, i) => ({ offset: 98_304 * i, length: 8192 })),
};
await writeFile(join(directory, 'plain'), pattern(70_001));
await writeFile(join(directory, LONG), pattern(30_000, 7));
await sparseFile(join(directory, 'sparse'), SPARSE.size, SPARSE.runs);

/** Makes a multi-volume tar with volumes of `kilobytes`. */
async function volumesOf(
  label: string,
  kilobytes: number,
  args: readonly string[],
): Promise<Buffer[]> {
  const base = join(directory, `volume-${label}-${kilobytes}`);
  const script = `${base}.sh`;
  await writeFile(script, `#!/bin/sh\necho "${base}.$TAR_VOLUME" >&$TAR_FD\n`);
  await chmod(script, 0o755);
  const options = ['-b1', '-M', '-L', String(kilobytes), '-F', script, '-C', directory];
  await tar(['-c', '-f', `${base}.1`, ...options, ...args]);
  const prefix = `volume-${label}-${kilobytes}.`;
  const numbers = (await readdir(directory))
    .filter((name) => name.startsWith(prefix) && !name.endsWith('.sh'))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => a - b);
  return Promise.all(numbers.map((number) => readFile(`${base}.${number}`)));
}

async function* streams(volumes: readonly Buffer[]): AsyncGenerator<AsyncIterable<Buffer>> {
  for (const volume of volumes) yield await Promise.resolve(chunked(volume, 3000));
}

/** Sizes that put the volumes' ends in data, between members, and between header blocks. */
describe.each([2, 3, 7, 30, 100])('tar volumes of %i KiB', (kilobytes) => {
  test('with plain, long-named and sparse members are joined', async () => {
    const volumes = await volumesOf('all', kilobytes, ['--sparse', 'plain', LONG, 'sparse']);
    expect(volumes.length).toBeGreaterThan(3);
    const members = await unpack(joinVolumes(streams(volumes)));
    expect(members.map(({ path }) => path)).toEqual(['plain', LONG, 'sparse']);
    expect(members[0]?.content.equals(pattern(70_001))).toBe(true);
    expect(members[1]?.content.equals(pattern(30_000, 7))).toBe(true);
    expect(members[2]?.content.equals(sparseContent(SPARSE.size, SPARSE.runs))).toBe(true);
  });
});

test.each([5, 100])('tar volumes of %i KiB with labels are joined', async (kilobytes) => {
  const volumes = await volumesOf('labelled', kilobytes, ['-V', 'LABEL', '--sparse', 'sparse']);
  const [member] = await unpack(joinVolumes(streams(volumes)));
  expect(member?.content.equals(sparseContent(SPARSE.size, SPARSE.runs))).toBe(true);
});

test('a single tar volume is passed on unchanged', async () => {
  const whole = await tar(['-cSf-', '-C', directory, 'plain', LONG, 'sparse']);
  expect((await collect(joinVolumes(streams([whole])))).equals(whole)).toBe(true);
});

describe('joining tar volumes is refused if', () => {
  const SOUND = volumesOf('sound', 100, ['--sparse', 'plain', 'sparse']);
  const swapped = (volumes: Buffer[]): Buffer[] => {
    const [first, second, third, ...rest] = volumes;
    return [first, third, second, ...rest].flatMap((volume) => volume ?? []);
  };
  const refused = async (volumes: Buffer[]) =>
    expect(unpack(joinVolumes(streams(volumes), 'vm5/x'))).rejects.toThrow(DamagedError);

  test('one is missing', async () => {
    const volumes = await SOUND;
    for (const index of volumes.keys()) await refused(volumes.toSpliced(index, 1));
  });

  test('one is repeated', async () => {
    const volumes = await SOUND;
    for (const [index, volume] of volumes.entries()) {
      if (index < volumes.length - 1) await refused(volumes.toSpliced(index, 0, volume));
    }
  });

  test('two are swapped', async () => refused(swapped(await SOUND)));

  test('one belongs to another file', async () => {
    const volumes = await SOUND;
    await sparseFile(join(directory, 'other'), SPARSE.size, SPARSE.runs);
    const others = await volumesOf('other', 100, ['--sparse', 'plain', 'other']);
    await refused([...volumes.slice(0, 2), ...others.slice(2)]);
  });

  test('one is truncated', async () => {
    const volumes = await SOUND;
    for (const [index, volume] of volumes.entries()) {
      if (index === volumes.length - 1) continue;
      for (const end of [0, 100, 512, 700, volume.length - 512, volume.length - 1]) {
        await refused(volumes.with(index, volume.subarray(0, end)));
      }
    }
  });

  test('they come as a single volume, so that the header of a continuation would count as data', async () => {
    const joined = Buffer.concat(await SOUND);
    await refused([joined]);
  });
});
