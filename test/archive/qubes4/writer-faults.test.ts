import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { FileToArchive } from '../../../dom0-agent/archive/archive.ts';
import { writeQubes4 } from '../../../dom0-agent/archive/qubes4/write-qubes4.ts';
import { noise } from '../official-archives.ts';
import { CHEAP, filesOf } from './write-sample.ts';

const FILES = { 'vm1/private.img': noise(2_000_000), 'vm2/private.img': noise(500_000) };
const never = new AbortController().signal;

describe('the writer of format 4', () => {
  it.each([undefined, 'gzip', 'zstd'] as const)(
    'fails with the error of the output, whichever write fails (filter: %s)',
    async (compressionFilter) => {
      for (const failing of [0, 1, 4, 30, 150]) {
        let writes = 0;
        const write = async (): Promise<void> => {
          await sleep(0);
          if (writes++ === failing) throw new Error('no space');
        };
        const options = { ...CHEAP, compressionFilter };
        await expect(writeQubes4(filesOf(FILES), { write }, options, never)).rejects.toThrow(
          'no space',
        );
      }
    },
  );

  it.each([undefined, 'gzip', 'zstd'] as const)(
    'fails with the error of a file that cannot be read (filter: %s)',
    async (compressionFilter) => {
      async function* broken(): AsyncGenerator<FileToArchive> {
        yield* filesOf(FILES);
        yield { path: 'vm3/private.img', innerTar: breakingOff() };
      }
      const write = (): Promise<void> => Promise.resolve();
      const options = { ...CHEAP, compressionFilter };
      await expect(writeQubes4(broken(), { write }, options, never)).rejects.toThrow('unreadable');
    },
  );

  it('stops when it is interrupted', async () => {
    const stop = new AbortController();
    let writes = 0;
    const write = (): Promise<void> => {
      if (++writes === 40) stop.abort(new Error('stopped'));
      return Promise.resolve();
    };
    await expect(writeQubes4(filesOf(FILES), { write }, CHEAP, stop.signal)).rejects.toThrow(
      'stopped',
    );
    expect(writes).toBeLessThan(100);
  });

  it('writes only after the last write has ended', async () => {
    let under = 0;
    const write = async (): Promise<void> => {
      under++;
      expect(under).toBe(1);
      await sleep(0);
      under--;
    };
    await writeQubes4(filesOf({ 'vm1/private.img': noise(400_000) }), { write }, CHEAP, never);
  });
});

async function* breakingOff(): AsyncGenerator<Buffer> {
  yield await Promise.resolve(noise(100_000));
  throw new Error('unreadable');
}
