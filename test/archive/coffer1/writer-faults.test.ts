import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Content } from '../../../dom0-agent/archive/content.ts';
import { writeCoffer1 } from '../../../dom0-agent/archive/coffer1/write-coffer1.ts';
import { FailedError, StorageError } from '../../../shared/errors.ts';
import { GRAIN, OPTIONS, contentsOf, never, sampleFile } from './sample.ts';

/** A volume so large that writing it never ends in a test. */
async function* hugeVolume(onRead: () => void = () => undefined): AsyncGenerator<Content> {
  yield* contentsOf({});
  const noise = randomBytes(GRAIN);
  const read = async (buffer: Buffer): Promise<void> => {
    await sleep(0);
    onRead();
    buffer.fill(noise);
  };
  const size = 2 ** 20 * GRAIN;
  const path = 'vm5/private.img';
  const extents = [{ offset: 0, length: size }];
  yield { kind: 'volume', path, domain: path, origin: path, size, extents, read };
}

describe.each([undefined, 'zstd', 'gzip'] as const)('writing a backup (filter: %s)', (filter) => {
  const options = { ...OPTIONS, compressionFilter: filter };
  const fresh = () => ({ ...options, ...sampleFile() });

  it('fails with the error of the output, whichever write fails', async () => {
    for (let writes = 0; writes < 40; writes += 3) {
      let left = writes;
      const output = {
        write: async (): Promise<void> => {
          await sleep(1);
          if (left-- === 0) throw new StorageError('the disk is on fire');
        },
      };
      const writing = writeCoffer1(hugeVolume(), output, fresh(), never);
      await expect(writing).rejects.toThrow('the disk is on fire');
    }
  });

  it('fails with the error of a volume that cannot be read', async () => {
    let reads = 0;
    const fail = (): void => {
      if (++reads === 20) throw new FailedError('work: private cannot be read');
    };
    const writing = writeCoffer1(hugeVolume(fail), { write: () => sleep(1) }, fresh(), never);
    await expect(writing).rejects.toThrow('private cannot be read');
  });

  it('stops when it is interrupted', async () => {
    const stop = new AbortController();
    const output = { write: () => sleep(1) };
    const writing = writeCoffer1(hugeVolume(), output, fresh(), stop.signal);
    setTimeout(() => stop.abort(new FailedError('interrupted')), 100);
    await expect(writing).rejects.toThrow('interrupted');
  });
});
