import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import type { PoolDetector } from '../../../dom0-agent/qubes/changes/pool-detector.ts';
import { ReflinkCopies } from '../../../dom0-agent/qubes/changes/reflink-copies.ts';
import { reflinkDetector } from '../../../dom0-agent/qubes/changes/reflink-detector.ts';
import { openFileReflinkPool } from '../../../dom0-agent/qubes/pools/file-pool.ts';
import { FailedError } from '../../../shared/errors.ts';
import { type RunProgram, runnerBehind } from '../../../shared/run-program.ts';

const never = new AbortController().signal;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coffer-reflink-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  for (const name of ['work', 'vault']) {
    const image = join(directory, `${name}/private.img`);
    await mkdir(dirname(image));
    await writeFile(image, name);
  }
});

/** Runs programs as on a file system that can share blocks, which copies here. */
const run: RunProgram = async (program, args) => {
  const [image = '', copy = ''] = args.slice(-2);
  if (program !== 'cp' || !existsSync(image)) return await runnerBehind([])(program, args);
  await copyFile(image, copy);
  return '';
};

function detector(runner = run): PoolDetector {
  const isRunning = (): Promise<boolean> => Promise.resolve(false);
  return reflinkDetector({
    ...{ driver: openFileReflinkPool(directory, isRunning), isRunning },
    imageOf: ({ vid }) => join(directory, `${vid}.img`),
    identityOf: () => Promise.resolve(undefined),
    copies: new ReflinkCopies(directory, 's1', runner),
    runForLines: () => {
      throw new FailedError('nothing is compared');
    },
  });
}

const volumeOf = (name: string) => ({
  placed: {
    ...{ label: `the volume private of ${name}`, qubeName: name, vid: `${name}/private` },
    hasNoSavedState: false,
  },
  ...{ key: `${name}.private`, backup: 'b1' },
});

describe('the detector of a pool whose files can share blocks', () => {
  it('keeps copies of the other volumes if a VM is removed while the backup begins', async () => {
    await rm(join(directory, 'work'), { recursive: true });
    await using all = detector();
    await expect(all.capture(volumeOf('work'))).rejects.toThrow('the volume private of work');
    await using other = await all.capture(volumeOf('vault'));
    const { note } = await other.compare(undefined, never);
    expect(note).toEqual({ copy: 'vault.private.b1.img' });
    expect(await readdir(join(directory, '.coffer/s1'))).toEqual(['vault.private.b1.img']);
  });

  it('tries only once if the file system turns out not to share blocks', async () => {
    let tries = 0;
    const refusing: RunProgram = (program, args) => {
      if (program !== 'cp') return run(program, args);
      tries++;
      return Promise.reject(new FailedError('Operation not supported'));
    };
    await using all = detector(refusing);
    for (const name of ['work', 'vault']) {
      await using captured = await all.capture(volumeOf(name));
      const { changed, note } = await captured.compare(undefined, never);
      expect([changed, note]).toEqual([expect.stringContaining('not supported'), undefined]);
    }
    expect(tries).toBe(1);
  });
});
