import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { framePrefix, frames } from '../../protocol/framing.ts';
import { LONGEST_FRAME } from '../../protocol/limits.ts';
import { ProtocolError } from '../../protocol/protocol-error.ts';

/** The stream cut at the given places. */
async function* cut(stream: Buffer, places: readonly number[]): AsyncGenerator<Buffer> {
  const sorted = [0, ...places.map((place) => place % (stream.length + 1)), stream.length];
  sorted.sort((one, other) => one - other);
  for (const [index, end] of sorted.slice(1).entries()) {
    await Promise.resolve();
    yield stream.subarray(sorted[index], end);
  }
}

async function read(stream: Buffer, places: readonly number[] = []): Promise<Buffer[]> {
  const result: Buffer[] = [];
  for await (const frame of frames(cut(stream, places))) result.push(Buffer.from(frame));
  return result;
}

function join(contents: readonly Uint8Array[]): Buffer {
  return Buffer.concat(contents.flatMap((content) => [framePrefix(content.length), content]));
}

const content = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 300 }),
  fc.integer({ min: 100, max: 40_000 }).map((length) => new Uint8Array(length).fill(length)),
);

describe('frames', () => {
  it('are read however the stream is split', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(content), fc.array(fc.nat()), async (contents, places) => {
        const result = await read(join(contents), places);
        expect(result.map((frame) => frame.toString('hex'))).toEqual(
          contents.map((one) => Buffer.from(one).toString('hex')),
        );
      }),
    );
  });

  it('may be as long as the limit, and may arrive byte by byte', async () => {
    const longest = Buffer.alloc(LONGEST_FRAME, 5);
    const [frame] = await read(join([longest]), [1, 2, 3, 4, 70_000]);
    expect(frame?.equals(longest)).toBe(true);
    const small = join([Buffer.from('abc')]);
    expect(await read(small, [0, 1, 2, 3])).toEqual([Buffer.from('abc')]);
  });

  it('are not copied if they are within one chunk', async () => {
    const stream = join([Buffer.from('abc')]);
    for await (const frame of frames(cut(stream, []))) expect(frame.buffer).toBe(stream.buffer);
  });

  it('are refused if the stream ends within one, at any position', async () => {
    const stream = join([Buffer.from('abc'), Buffer.alloc(200, 1)]);
    const boundaries = [0, 4, stream.length];
    for (let end = 0; end <= stream.length; end++) {
      const reading = read(stream.subarray(0, end));
      if (boundaries.includes(end)) await reading;
      else await expect(reading).rejects.toThrow(ProtocolError);
    }
  });

  it.each([
    ['of zero', [0x00], 'empty'],
    ['over the limit', [0x81, 0x80, 0x44], 'longer'],
    ['that is the largest of three digits', [0xff, 0xff, 0x7f], 'longer'],
    ['of four digits', [0x80, 0x80, 0x80, 0x01], 'digits'],
    ['without an end', Array<number>(20).fill(0xff), 'digits'],
    ['with a superfluous digit', [0x81, 0x00], 'superfluous'],
    ['of zero in two digits', [0x80, 0x00], 'empty'],
  ])('are refused with a length %s', async (_what, bytes, message) => {
    await expect(read(Buffer.from([...bytes, 1, 2, 3]))).rejects.toThrow(message);
  });

  it('of any bytes are read or refused with a ProtocolError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array(), async (bytes) => {
        await read(Buffer.from(bytes)).catch((error: unknown) => {
          expect(error).toBeInstanceOf(ProtocolError);
        });
      }),
    );
  });
});

describe('framePrefix', () => {
  it.each([0, -1, 1.5, NaN, LONGEST_FRAME + 1])('refuses a length of %s bytes', (length) => {
    expect(() => framePrefix(length)).toThrow(RangeError);
  });
});
