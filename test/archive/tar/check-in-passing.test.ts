import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { type TarCheck, checkInPassing } from '../../../dom0-agent/archive/tar/check-in-passing.ts';
import { plainTar, sparseTar } from '../../../dom0-agent/archive/tar/inner-writer.ts';
import { DamagedError, FailedError } from '../../../shared/errors.ts';
import { collect } from './gnu-tar.ts';

/** Two files in one tar, the second with holes and zeros that look like an end. */
async function twoFiles(): Promise<Buffer> {
  const first = await collect(plainTar('home/letter', Buffer.from('Dear reader')));
  const extents = [{ offset: 8192, length: 20_000 }];
  const zeros = (buffer: Buffer): Promise<void> => Promise.resolve(void buffer.fill(0));
  const second = await collect(sparseTar('home/zeros', 100_000, extents, zeros));
  return Buffer.concat([first.subarray(0, 1024), second]);
}

async function* inPieces(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) {
    yield await Promise.resolve(bytes.subarray(at, at + length));
  }
}

async function followed(tar: AsyncIterable<Buffer>): Promise<{ bytes: Buffer; seen: TarCheck }> {
  const seen: TarCheck = { members: 0, problem: undefined };
  return { bytes: await collect(checkInPassing(tar, 'the tar', seen)), seen };
}

describe('a tar that is checked in passing', () => {
  it('passes unchanged, and counts as complete only with its last block', async () => {
    const whole = await twoFiles();
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: whole.length }),
        fc.integer({ min: 1, max: 5000 }),
        async (length, piece) => {
          const part = whole.subarray(0, length);
          const { bytes, seen } = await followed(inPieces(part, piece));
          expect(bytes.equals(part)).toBe(true);
          expect(seen.problem === undefined).toBe(length === whole.length);
        },
      ),
    );
    expect((await followed(inPieces(whole, 512))).seen).toEqual({ members: 2, problem: undefined });
  });

  it('passes unchanged even if it is malformed', async () => {
    const whole = await twoFiles();
    const damaged = Buffer.from(whole);
    damaged.write('xxxxxxxx', 1024 + 148);
    const { bytes, seen } = await followed(inPieces(damaged, 700));
    expect(bytes.equals(damaged)).toBe(true);
    expect(seen.problem).toBeInstanceOf(DamagedError);
    expect(seen.members).toBe(1);
  });

  it.each([new FailedError('the disk is gone'), new DamagedError('the MAC is wrong')])(
    'passes on the error of its source: %s',
    async (error) => {
      const whole = await twoFiles();
      async function* broken(): AsyncGenerator<Buffer> {
        yield* inPieces(whole.subarray(0, 3000), 1000);
        throw error;
      }
      await expect(followed(broken())).rejects.toBe(error);
    },
  );

  it('is buffered only as far as necessary, even if no member has content', async () => {
    const empty = (await collect(plainTar('home/empty', Buffer.alloc(0)))).subarray(0, 512);
    let ahead = 0;
    async function* source(): AsyncGenerator<Buffer> {
      for (let i = 0; i < 3000; i++) {
        ahead += 512;
        yield await Promise.resolve(empty);
      }
      yield Buffer.alloc(1024);
    }
    let most = 0;
    for await (const { length } of checkInPassing(source(), 'the tar', {
      members: 0,
      problem: undefined,
    })) {
      most = Math.max(most, ahead);
      ahead -= length;
    }
    expect(most).toBeLessThan(10_000);
  });

  it('closes its source when nobody reads on', async () => {
    const whole = await twoFiles();
    let isOver = false;
    async function* source(): AsyncGenerator<Buffer> {
      try {
        yield* inPieces(whole, 100);
      } finally {
        isOver = true;
      }
    }
    for await (const chunk of checkInPassing(source(), 'the tar', {
      members: 0,
      problem: undefined,
    })) {
      if (chunk.length > 0) break;
    }
    expect(isOver).toBe(true);
  });
});
