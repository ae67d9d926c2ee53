import { access, mkdir, truncate } from 'node:fs/promises';
import { join } from 'node:path';

import { imagePoolDetector } from '../../../dom0-agent/qubes/changes/open-detector.ts';
import { openFileReflinkPool } from '../../../dom0-agent/qubes/pools/file-pool.ts';
import { lineRunnerBehind, runnerBehind } from '../../../shared/run-program.ts';
import type { Ground } from './ground.ts';
import { sh } from './programs.ts';

/** Makes an image in a pool of the kind `file-reflink` in `directory`, on XFS or btrfs. */
export async function imageGround(
  fileSystem: 'xfs' | 'btrfs',
  directory: string,
  size: number,
): Promise<Ground> {
  const vid = 'appvms/work/private';
  const base = join(directory, vid);
  const [committed, dirty, revision] = [`${base}.img`, `${base}-dirty.img`, `${base}.img@1`];
  await mkdir(join(directory, 'appvms/work'), { recursive: true });
  await sh(`truncate -s ${size} ${committed}`);
  const reflink = (from: string, to: string) => sh(`cp --reflink=always ${from} ${to}`);
  let isRunning = false;
  const writable = (): string => (isRunning ? dirty : committed);
  const isHere = () => Promise.resolve(isRunning);

  return {
    name: fileSystem,
    blockSize: 4096,
    vid,
    committed,
    get isRunning() {
      return isRunning;
    },
    get writable() {
      return writable();
    },
    detector: (series) =>
      imagePoolDetector({
        ...{ directory, series, isRunning: isHere },
        driver: openFileReflinkPool(directory, isHere),
        run: runnerBehind([]),
        runForLines: lineRunnerBehind([]),
      }),
    async start() {
      await reflink(committed, dirty);
      isRunning = true;
    },
    async stop() {
      await reflink(committed, revision);
      await sh(`mv ${dirty} ${committed}`);
      isRunning = false;
    },
    async revert() {
      await access(revision).catch(() => reflink(committed, revision));
      await reflink(revision, `${base}.new`);
      await sh(`mv ${base}.new ${committed}`);
    },
    async clone() {
      await reflink(writable(), join(directory, 'appvms/clone.img'));
    },
    discard: async (offset, length) => {
      await sh(`fallocate --punch-hole --offset ${offset} --length ${length} ${writable()}`);
    },
    async grow(bytes) {
      const size = Number(await sh(`stat -c %s ${writable()}`));
      await truncate(writable(), size + bytes);
    },
    async disturb() {
      if (fileSystem === 'btrfs') await sh(`btrfs filesystem defragment -f ${writable()}`);
      else await sh(`xfs_fsr ${writable()}`);
    },
  };
}
