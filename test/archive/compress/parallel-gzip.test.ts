import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parallelGzip } from '../../../dom0-agent/archive/compress/parallel-gzip.ts';
import { noise } from '../official-archives.ts';

const never = new AbortController().signal;

async function* inChunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

async function compressed(bytes: Buffer, chunk: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of parallelGzip(inChunks(bytes, chunk), never)) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe('parallel gzip', () => {
  it('makes a stream that gzip -d decompresses to the same bytes', async () => {
    const text = Buffer.from(Array.from({ length: 700_000 }, (_, i) => `${i} `).join(''));
    for (const bytes of [text, Buffer.from('x'), noise(1024 * 1024 + 1), Buffer.alloc(3_000_000)]) {
      for (const chunk of [65_536, 5_000_000]) {
        const zipped = await compressed(bytes, chunk);
        const back = execFileSync('gzip', ['-d'], { input: zipped, maxBuffer: 2 ** 27 });
        expect(back.equals(bytes)).toBe(true);
      }
    }
  });

  it('compresses as well as gzip, within 1 %', async () => {
    const text = Buffer.from(Array.from({ length: 700_000 }, (_, i) => `${i * i} `).join(''));
    const plain = execFileSync('gzip', ['-c'], { input: text, maxBuffer: 2 ** 27 });
    expect((await compressed(text, 100_000)).length).toBeLessThan(1.01 * plain.length);
    const random = noise(2_000_000);
    expect((await compressed(random, 100_000)).length).toBeLessThan(1.001 * random.length);
  });

  it('passes on an error of the source, and stops when nobody reads on or when it is interrupted', async () => {
    async function* broken(): AsyncGenerator<Buffer> {
      yield* inChunks(noise(3_000_000), 100_000);
      throw new Error('unreadable');
    }
    const reading = async (): Promise<void> => {
      for await (const piece of parallelGzip(broken(), never))
        expect(piece.length).toBeGreaterThan(0);
    };
    await expect(reading()).rejects.toThrow('unreadable');
    const gone = parallelGzip(inChunks(noise(10_000_000), 100_000), never);
    expect((await gone.next()).done).toBe(false);
    expect(await gone.return()).toMatchObject({ done: true });
    const stopped = parallelGzip(inChunks(noise(10_000), 100), AbortSignal.abort(new Error('no')));
    await expect(stopped.next()).rejects.toThrow('no');
  });
});
