import { randomBytes } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { drain } from '../../dom0-agent/archive/drain.ts';
import { openArchive } from '../../dom0-agent/archive/open-archive.ts';
import { FilesThrough } from '../../dom0-agent/transport/files-through.ts';
import { contentOf } from './content-of.ts';
import type { ByteSource, OpenedFile } from '../../shared/byte-streams.ts';
import { DamagedError } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import { makeArchive, never } from './coffer1/sample.ts';
import { makeQubes3 } from './qubes3/make-qubes3.ts';
import { makeQubes4 } from './qubes4/make-qubes4.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const PASSPHRASE = 'correct horse battery staple';

/** Gives two bytes at a time: the storage decides how small its pieces are, and each piece that is kept costs memory. */
class InFewBytes implements ByteSource {
  readonly size: number | undefined;
  readonly seekable: boolean;
  /** The largest increase of the memory in use since it was made. */
  memory = 0;
  samples = 0;
  readonly #bytes: Buffer;
  readonly #before: number;
  #given = 0;

  constructor(bytes: Buffer, seekable: boolean) {
    this.size = seekable ? bytes.length : undefined;
    this.seekable = seekable;
    this.#bytes = bytes;
    collect();
    this.#before = inUse();
  }

  async *read(from = 0, to = this.#bytes.length): AsyncGenerator<Buffer> {
    for (let at = from; at < to; at += 2) {
      if (++this.#given % 200_000 === 0) {
        collect();
        this.samples++;
        this.memory = Math.max(this.memory, inUse() - this.#before);
      }
      yield await Promise.resolve(this.#bytes.subarray(at, Math.min(at + 2, to)));
    }
  }
}

function inUse(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function read(input: ByteSource): Promise<void> {
  const reader = await openArchive(input, Buffer.from(PASSPHRASE), never);
  await reader.qubesXml();
  for await (const file of reader.files(() => true)) await drain(contentOf(file));
}

const noise = randomBytes(1.5 * MiB);
const coffer1 = (): Promise<Buffer> =>
  makeArchive({ 'vm5/private.img': noise }, { cut: { grain: MiB, partSize: 4 * MiB } });
const old = { passphrase: PASSPHRASE, files: { 'vm5/private.img': noise } };

test.each<[string, () => Promise<Buffer> | Buffer, boolean]>([
  ['coffer-1 in a file', coffer1, true],
  ['coffer-1 in a stream', coffer1, false],
  ['format 4', () => makeQubes4(old), false],
  ['format 3', () => makeQubes3({ ...old, version: 3 }), false],
  ['format 2', () => makeQubes3({ ...old, version: 2 }), false],
])('reading in pieces of two bytes takes little memory: %s', async (_, make, seekable) => {
  const input = new InFewBytes(await make(), seekable);
  await read(input);
  expect(input.samples).toBeGreaterThan(2);
  expect(input.memory).toBeLessThan(30 * MiB);
});

test('searching in pieces of two bytes for a missing manifest takes little memory', async () => {
  const archive = (await coffer1()).subarray(0, -2048);
  const input = new InFewBytes(archive, true);
  await expect(read(input)).rejects.toThrow(DamagedError);
  expect(input.samples).toBeGreaterThan(2);
  expect(input.memory).toBeLessThan(30 * MiB);
});

test('caching blocks of files behind a command takes little memory if they come in pieces of two bytes', async () => {
  const content = randomBytes(MiB);
  const inputs = Array.from({ length: 6 }, () => new InFewBytes(content, true));
  await using files = new FilesThrough({
    location: 'a directory',
    open: (name) => Promise.resolve(inputs[Number(name)] as InFewBytes & OpenedFile),
    read: () => {
      throw new RangeError('nobody reads ranges');
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  const names = inputs.map((_, number) => String(number));
  const opened = await Promise.all(names.map((name) => files.open(name)));
  await Promise.all(opened.map((file) => drain(file.read())));
  for (const { samples, memory } of inputs) {
    expect(samples).toBeGreaterThan(1);
    expect(memory).toBeLessThan(30 * MiB);
  }
});
