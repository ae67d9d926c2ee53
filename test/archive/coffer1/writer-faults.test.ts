import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { FileToArchive } from '../../../dom0-agent/archive/archive.ts';
import { writeCoffer1 } from '../../../dom0-agent/archive/coffer1/write-coffer1.ts';
import { FailedError, StorageError } from '../../../shared/errors.ts';
import { OPTIONS, never } from './sample.ts';

/** A file that never ends of itself. */
async function* endless(): AsyncGenerator<Buffer> {
  for (;;) {
    await sleep(0);
    yield randomBytes(3000);
  }
}

async function* oneFile(innerTar: AsyncIterable<Buffer>): AsyncGenerator<FileToArchive> {
  yield await Promise.resolve({ path: 'vm5/private.img', innerTar });
}

describe('writing an archive', () => {
  it('ends with the error of the output, wherever that fails', async () => {
    for (let writes = 0; writes < 12; writes++) {
      let left = writes;
      const output = {
        write: async (): Promise<void> => {
          await sleep(5);
          if (left-- === 0) throw new StorageError('the disk is on fire');
        },
      };
      const writing = writeCoffer1(oneFile(endless()), output, OPTIONS, never);
      await expect(writing).rejects.toThrow('the disk is on fire');
    }
  });

  it('ends with the error of a volume that cannot be read', async () => {
    let chunks = 0;
    async function* broken(): AsyncGenerator<Buffer> {
      for await (const chunk of endless()) {
        yield chunk;
        if (++chunks % 40 === 0) throw new FailedError('work: private cannot be read');
      }
    }
    const output = { write: () => sleep(1) };
    const options = { ...OPTIONS, compressionFilter: 'gzip' } as const;
    for (const each of [OPTIONS, options]) {
      const writing = writeCoffer1(oneFile(broken()), output, each, never);
      await expect(writing).rejects.toThrow('private cannot be read');
    }
  });

  it('ends when it is interrupted', async () => {
    const stop = new AbortController();
    const output = { write: () => sleep(1) };
    const writing = writeCoffer1(oneFile(endless()), output, OPTIONS, stop.signal);
    setTimeout(() => stop.abort(new FailedError('interrupted')), 100);
    await expect(writing).rejects.toThrow('interrupted');
  });
});
