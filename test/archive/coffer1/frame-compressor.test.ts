import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { frameCompressor } from '../../../dom0-agent/archive/coffer1/frame-compressor.ts';
import { ZstdFrameEnd } from '../../../dom0-agent/archive/coffer1/zstd-frame.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import { never } from './sample.ts';

const CONTENTS = [
  Buffer.alloc(0),
  Buffer.from('a'),
  Buffer.alloc(300 * KiB),
  randomBytes(300 * KiB),
  Buffer.from('some text, again and again\n'.repeat(40_000)),
];

/** A buffer with room for a frame of any content. */
function targetFor(content: Buffer): Buffer {
  return Buffer.alloc(content.length + 4 * KiB);
}

describe.each(['zstd', 'gzip'] as const)('frames made by %s', (filter) => {
  it('can be decompressed one by one, and all together by one run of the program', async () => {
    await using compressor = frameCompressor(filter, 2, never);
    const frames = await Promise.all(
      CONTENTS.map((bytes) => compressor.compress(bytes, targetFor(bytes))),
    );
    const undo = (input: Buffer): Buffer =>
      execFileSync(filter, ['-d', '-c'], { input, maxBuffer: 2 ** 26 });
    for (const [number, frame] of frames.entries()) {
      expect(undo(frame).equals(CONTENTS[number] ?? Buffer.alloc(1)), String(number)).toBe(true);
    }
    expect(undo(Buffer.concat(frames)).equals(Buffer.concat(CONTENTS))).toBe(true);
  });
});

it('a compressor makes more frames than one zstd can, with one zstd after the other', async () => {
  await using compressor = frameCompressor('zstd', 1, never);
  for (let number = 0; number < 1100; number++) {
    const bytes = Buffer.from(`part ${number}\n`.repeat(2000));
    const frame = await compressor.compress(bytes, targetFor(bytes));
    if (number % 200 > 0 && number % 512 > 2) continue;
    expect(execFileSync('zstd', ['-d', '-c'], { input: frame }).equals(bytes)).toBe(true);
  }
});

it('a compressor runs nothing that a .bashrc contains', async () => {
  const home = await mkdtemp(join(tmpdir(), 'coffer-home-'));
  onTestFinished(() => rm(home, { recursive: true }));
  await writeFile(join(home, '.bashrc'), 'echo Welcome; exit 9');
  vi.stubEnv('HOME', home);
  // As for a program that a desktop or a timer starts.
  vi.stubEnv('SHLVL', undefined);
  await using compressor = frameCompressor('zstd', 1, never);
  const bytes = randomBytes(300 * KiB);
  const frame = await compressor.compress(bytes, targetFor(bytes));
  expect(execFileSync('zstd', ['-d', '-c'], { input: frame }).equals(bytes)).toBe(true);
});

describe('a compressor fails if its zstd', () => {
  const part = randomBytes(4 * MiB);

  it('is killed while it compresses', async () => {
    await using compressor = frameCompressor('zstd', 1, never);
    await compressor.compress(part, targetFor(part));
    const frame = compressor.compress(part, targetFor(part));
    killZstd();
    await expect(frame).rejects.toThrow('zstd was ended by SIGKILL');
  });

  it('was killed between two parts', async () => {
    await using compressor = frameCompressor('zstd', 1, never);
    await compressor.compress(part, targetFor(part));
    killZstd();
    const frame = compressor.compress(part, targetFor(part));
    await expect(frame).rejects.toThrow('zstd was ended by SIGKILL');
  });

  it('is not installed', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'coffer-'));
    const path = process.env['PATH'];
    try {
      for (const program of ['bash', 'stdbuf']) {
        await symlink(execFileSync('which', [program]).toString().trim(), join(directory, program));
      }
      process.env['PATH'] = directory;
      await using compressor = frameCompressor('zstd', 1, never);
      await expect(compressor.compress(part, targetFor(part))).rejects.toThrow(
        /zstd.*No such file/,
      );
    } finally {
      process.env['PATH'] = path;
      await rm(directory, { recursive: true });
    }
  });
});

/** Kills every zstd that this process has started, and no other. */
function killZstd(): void {
  execFileSync('pkill', ['-KILL', '-x', '-P', `${process.pid}`, 'zstd']);
}

it('a compressor that is interrupted rejects every frame that it has not made', async () => {
  const stop = new AbortController();
  await using compressor = frameCompressor('zstd', 1, stop.signal);
  const frames = [1, 2, 3].map(() =>
    compressor.compress(randomBytes(2 ** 22), Buffer.alloc(2 ** 23)),
  );
  stop.abort(new Error('enough'));
  for (const frame of frames) await expect(frame).rejects.toThrow('enough');
});

describe('the end of a zstd frame is found', () => {
  it.each([
    ['made with the options that coffer uses', ['--single-thread']],
    ['without a checksum', ['--no-check']],
    ['without the length of the content', []],
  ])('%s, wherever the stream is split', (_, options) => {
    for (const content of CONTENTS) {
      const zstd = ['-q', '-c', ...options];
      const frame = execFileSync('zstd', zstd, { input: content, maxBuffer: 2 ** 26 });
      const behind = Buffer.concat([frame, Buffer.from('behind')]);
      for (const length of [1, 7, 1000, behind.length]) {
        const end = new ZstdFrameEnd();
        let at = 0;
        let found: number | undefined;
        for (; found === undefined && at < behind.length; at += length) {
          found = end.see(behind.subarray(at, at + length));
          if (found !== undefined) found += at;
        }
        expect(found).toBe(frame.length);
      }
    }
  });
});
