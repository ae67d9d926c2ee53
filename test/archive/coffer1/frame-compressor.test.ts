import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { frameCompressor } from '../../../dom0-agent/archive/coffer1/frame-compressor.ts';
import { ZstdFrameEnd } from '../../../dom0-agent/archive/coffer1/zstd-frame.ts';
import { KiB } from '../../../shared/sizes.ts';
import { never } from './sample.ts';

const CONTENTS = [
  Buffer.alloc(0),
  Buffer.from('a'),
  Buffer.alloc(300 * KiB),
  randomBytes(300 * KiB),
  Buffer.from('some text, again and again\n'.repeat(40_000)),
];

describe.each(['zstd', 'gzip'] as const)('frames that %s makes', (filter) => {
  it('are undone one for one, and all together by one run of the program', async () => {
    await using compressor = frameCompressor(filter, 2, never);
    const frames = await Promise.all(CONTENTS.map((bytes) => compressor.compress(bytes)));
    const undo = (input: Buffer): Buffer =>
      execFileSync(filter, ['-d', '-c'], { input, maxBuffer: 2 ** 26 });
    for (const [number, frame] of frames.entries()) {
      expect(undo(frame).equals(CONTENTS[number] ?? Buffer.alloc(1)), String(number)).toBe(true);
    }
    expect(undo(Buffer.concat(frames)).equals(Buffer.concat(CONTENTS))).toBe(true);
  });
});

it('an interrupted compressor leaves nobody waiting', async () => {
  const stop = new AbortController();
  await using compressor = frameCompressor('zstd', 1, stop.signal);
  const frames = [1, 2, 3].map(() => compressor.compress(randomBytes(2 ** 22)));
  stop.abort(new Error('enough'));
  for (const frame of frames) await expect(frame).rejects.toThrow('enough');
});

describe('the end of a zstd frame', () => {
  it.each([
    ['as coffer makes it', ['--single-thread']],
    ['without a checksum', ['--no-check']],
    ['without a size', []],
  ])('is found %s, wherever the pieces are cut', (_, options) => {
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
