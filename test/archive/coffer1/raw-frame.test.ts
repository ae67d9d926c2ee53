import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FRAME_OVERHEAD,
  LONGEST_RAW,
  readRawFrame,
  writeRawFrame,
} from '../../../dom0-agent/archive/coffer1/raw-frame.ts';

const TEXTS = [0, 1, 255, 256, 4096, LONGEST_RAW].map((length) => randomBytes(length));

function frameOf(text: Buffer): Buffer {
  return writeRawFrame(text, Buffer.alloc(FRAME_OVERHEAD + text.length));
}

function zstd(args: readonly string[], input: Buffer): Buffer {
  return execFileSync('zstd', ['-q', '-c', ...args], { input });
}

describe('a raw frame', () => {
  it.each(TEXTS.map((text) => [text.length, text] as const))(
    'of %i bytes is read without a program, and by zstd',
    (_, text) => {
      const frame = frameOf(text);
      expect(readRawFrame(frame)).toEqual(text);
      expect(zstd(['-d'], frame)).toEqual(text);
    },
  );

  it('can stand between frames that zstd has compressed', () => {
    const text = Buffer.from('again and again '.repeat(2000));
    const frames = Buffer.concat([zstd([], text), ...TEXTS.map(frameOf), zstd([], text)]);
    expect(zstd(['-d'], frames)).toEqual(Buffer.concat([text, ...TEXTS, text]));
  });

  it('holds no text that is longer', () => {
    const text = Buffer.alloc(LONGEST_RAW + 1);
    expect(() => frameOf(text)).toThrow(RangeError);
  });
});

describe('left to zstd is', () => {
  it.each(TEXTS.map((text) => [text.length, text] as const))(
    'what it has made of %i bytes',
    (_, text) => {
      expect(readRawFrame(zstd([], text))).toBeUndefined();
    },
  );

  it('a frame of which anything but the text was changed, cut or added', () => {
    const frame = frameOf(Buffer.from('<firewall/>'));
    for (let at = 0; at < FRAME_OVERHEAD; at++) {
      const changed = Buffer.from(frame);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(readRawFrame(changed), `byte ${at}`).toBeUndefined();
    }
    expect(readRawFrame(frame.subarray(0, -1))).toBeUndefined();
    expect(readRawFrame(Buffer.concat([frame, frame]))).toBeUndefined();
  });

  it('whatever else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(readRawFrame(Buffer.from(bytes))).toBeUndefined();
      }),
    );
  });
});
