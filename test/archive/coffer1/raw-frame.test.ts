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
    'of %i bytes can be read without a program, and by zstd',
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

  it('is not made of a longer text', () => {
    const text = Buffer.alloc(LONGEST_RAW + 1);
    expect(() => frameOf(text)).toThrow(RangeError);
  });
});

describe('what is not a raw frame is left to zstd:', () => {
  it.each(TEXTS.map((text) => [text.length, text] as const))(
    'a frame that zstd made of %i bytes',
    (_, text) => {
      expect(readRawFrame(zstd([], text))).toBeUndefined();
    },
  );

  it('a raw frame with a changed byte outside of the text, without its last byte, or with another frame after it', () => {
    const frame = frameOf(Buffer.from('<firewall/>'));
    for (let at = 0; at < FRAME_OVERHEAD; at++) {
      const changed = Buffer.from(frame);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(readRawFrame(changed), `byte ${at}`).toBeUndefined();
    }
    expect(readRawFrame(frame.subarray(0, -1))).toBeUndefined();
    expect(readRawFrame(Buffer.concat([frame, frame]))).toBeUndefined();
  });

  it('any other bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(readRawFrame(Buffer.from(bytes))).toBeUndefined();
      }),
    );
  });
});
