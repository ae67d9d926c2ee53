import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildSync } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { VolumeImage } from '../../../dom0-agent/qubes/system.ts';
import { openImageAsRoot } from '../../../dom0-agent/qubes/pools/root-reader-client.ts';
import { openImage } from '../../../dom0-agent/qubes/pools/open-image.ts';
import { FailedError, InterruptedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';

const LABEL = 'the volume private of work';
const never = new AbortController().signal;
let directory: string;
let readVolume: string[];

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'coffer-image-'));
  const bundle = join(directory, 'read-volume.mjs');
  buildSync({
    entryPoints: [fileURLToPath(new URL('read-volume.ts', import.meta.url))],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
  });
  readVolume = [process.execPath, bundle];
});
afterAll(() => rmSync(directory, { recursive: true }));

const ways = [
  ['by coffer itself', (path: string, signal = never) => openImage(path, LABEL, signal)],
  [
    'by a root process',
    (path: string, signal = never) => openImageAsRoot(readVolume, path, LABEL, signal),
  ],
] as const;

/** 20 MiB, of which the MiB from 8 MiB on and the last three bytes are data. */
async function sparseImage(name: string): Promise<string> {
  const path = join(directory, name);
  const file = await open(path, 'w');
  await file.truncate(20 * MiB);
  await file.write(Buffer.alloc(MiB, 'data'), 0, MiB, 8 * MiB);
  await file.write(Buffer.from('end'), 0, 3, 20 * MiB - 3);
  await file.close();
  return path;
}

async function contentOf(image: VolumeImage): Promise<Buffer> {
  const content = Buffer.alloc(image.size);
  for (const { offset, length } of image.extents) {
    await image.read(content.subarray(offset, offset + length), offset);
  }
  return content;
}

describe.each(ways)('an image read %s', (_, openIt) => {
  it('gives its data and its extents', async () => {
    await using image = await openIt(await sparseImage('sparse'));
    const expected = Buffer.alloc(20 * MiB);
    expected.fill('data', 8 * MiB, 9 * MiB);
    expected.write('end', 20 * MiB - 3);
    expect(image.size).toBe(20 * MiB);
    const total = image.extents.reduce((sum, { length }) => sum + length, 0);
    expect(total).toBeLessThan(4 * MiB);
    expect((await contentOf(image)).equals(expected)).toBe(true);
    const across = Buffer.alloc(18 * MiB);
    await image.read(across, 2 * MiB);
    expect(across.equals(expected.subarray(2 * MiB))).toBe(true);
  });

  it('can be read at several offsets at the same time', async () => {
    await using image = await openIt(await sparseImage('at-once'));
    const pieces = [8, 0, 8.5].map((at) => ({ at: at * MiB, buffer: Buffer.alloc(MiB / 4) }));
    await Promise.all(pieces.map(({ at, buffer }) => image.read(buffer, at)));
    expect(pieces.map(({ buffer }) => buffer.toString('latin1', 0, 4))).toEqual([
      'data',
      '\0\0\0\0',
      'data',
    ]);
  });

  it('remains the same if a commit replaces the file', async () => {
    const path = join(directory, 'committed');
    writeFileSync(path, 'old');
    await using image = await openIt(path);
    writeFileSync(`${path}.new`, 'new and longer');
    renameSync(`${path}.new`, path);
    expect((await contentOf(image)).toString()).toBe('old');
  });

  it('counts as unchanged if a commit replaced the file, but not if the file was written to', async () => {
    const path = join(directory, 'written');
    writeFileSync(path, 'as it was');
    const past = new Date(Date.now() - 60_000);
    utimesSync(path, past, past);
    await using image = await openIt(path);
    await image.requireUnchanged();
    renameSync(path, `${path}.old`);
    writeFileSync(path, 'committed');
    await image.requireUnchanged();
    const file = await open(`${path}.old`, 'r+');
    await file.write(Buffer.from('torn'), 0, 4, 0);
    await file.close();
    await expect(image.requireUnchanged()).rejects.toThrow(
      /^the volume private of work was changed while it was read/,
    );
  });

  it('counts as changed if it has grown', async () => {
    const path = await sparseImage('growing');
    await using image = await openIt(path);
    const { mtime } = statSync(path);
    truncateSync(path, 30 * MiB);
    utimesSync(path, mtime, mtime);
    await expect(image.requireUnchanged()).rejects.toThrow(FailedError);
  });

  it('may be empty', async () => {
    const path = join(directory, 'empty');
    writeFileSync(path, '');
    await using image = await openIt(path);
    expect(image).toMatchObject({ size: 0, extents: [] });
  });

  it('fails with an error that names the volume if it shrinks', async () => {
    const path = await sparseImage('shrinking');
    await using image = await openIt(path);
    truncateSync(path, 10 * MiB);
    const reading = image.read(Buffer.alloc(4 * MiB), 8 * MiB);
    await expect(reading).rejects.toThrow(FailedError);
    await expect(reading).rejects.toThrow(/private of work shrank.*ends at byte 10485760/);
  });

  it('is refused with an error that names the volume if it is missing or not an image', async () => {
    const missing = openIt(join(directory, 'nowhere'));
    await expect(missing).rejects.toThrow(/private of work has no committed content/);
    await expect(openIt(directory)).rejects.toThrow(/private of work cannot be (read|opened)/);
    await expect(openIt('/dev/null')).rejects.toThrow(/neither a file nor a block device/);
  });

  it('is not opened if coffer is interrupted', async () => {
    const stopped = AbortSignal.abort();
    await expect(openIt(await sparseImage('stopped'), stopped)).rejects.toThrow(InterruptedError);
  });
});

describe('the process that reads an image as root', () => {
  it('is named in the error if it cannot be started, or if sudo fails', async () => {
    const path = await sparseImage('unreadable');
    const opening = openImageAsRoot(['/nowhere/sudo'], path, LABEL, never);
    await expect(opening).rejects.toThrow(/private of work cannot be read as root.*nowhere/);
    const script = join(directory, 'sudo');
    writeFileSync(script, '#!/bin/sh\necho "sudo: a password is required" >&2; exit 1\n');
    chmodSync(script, 0o755);
    const refused = openImageAsRoot([script, ...readVolume], path, LABEL, never);
    await expect(refused).rejects.toThrow(/as root: sudo asks for a password/);
  });

  it('ends when coffer is interrupted', async () => {
    const path = await sparseImage('halfway');
    const controller = new AbortController();
    await using image = await openImageAsRoot(readVolume, path, LABEL, controller.signal);
    controller.abort();
    await expect(image.read(Buffer.alloc(10), 0)).rejects.toThrow(InterruptedError);
  });

  it('is named in the error if it is killed', async () => {
    const path = await sparseImage('killed');
    const pidFile = join(directory, 'pid');
    const noted = ['sh', '-c', `echo $$ >${pidFile}; exec "$0" "$@"`, ...readVolume];
    await using image = await openImageAsRoot(noted, path, LABEL, never);
    await image.read(Buffer.alloc(10), 0);
    process.kill(Number(readFileSync(pidFile, 'utf8')), 'SIGKILL');
    const reading = image.read(Buffer.alloc(10), 0);
    await expect(reading).rejects.toThrow(
      /private of work cannot be read as root: the process ended/,
    );
  });

  it('reads more than 5 MiB/s', async () => {
    const path = join(directory, 'large');
    writeFileSync(path, Buffer.alloc(64 * MiB, 'large'));
    await using image = await openImageAsRoot(readVolume, path, LABEL, never);
    const buffer = Buffer.alloc(MiB);
    const begin = performance.now();
    for (let offset = 0; offset < image.size; offset += MiB) await image.read(buffer, offset);
    const rate = image.size / MiB / ((performance.now() - begin) / 1000);
    expect(rate).toBeGreaterThan(5);
  });
});
