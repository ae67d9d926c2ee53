import { execFileSync } from 'node:child_process';
import { mkdir, rename, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GiB } from '../../shared/sizes.ts';
import { useForADay } from './days.ts';
import { makeMixture } from './images.ts';
import { makeSystem } from './systems.ts';
import type { World } from './world.ts';

const SIZE = 60 * GiB;

/** What makes each file system whose files can share blocks. */
const MAKERS = {
  xfs: ['mkfs.xfs', '-q', '-m', 'reflink=1'],
  btrfs: ['mkfs.btrfs', '-q'],
} as const;

export type ReflinkFileSystem = keyof typeof MAKERS;

/** A system on a file system of its own, on a loop device: its volumes share blocks, as in a pool `file-reflink`. */
export interface ReflinkPool {
  /** A directory on the file system; on Btrfs a subvolume, as Wyng requires. */
  readonly mounted: string;
  readonly system: string;
}

/** Makes a system with VMs of these names, each with 1 GB of data. Needs root. */
export async function makeReflinkPool(
  world: World,
  qubes: readonly string[],
  fileSystem: ReflinkFileSystem,
): Promise<ReflinkPool> {
  const root = world.place(fileSystem);
  const mounted = join(root, 'pool');
  const disk = world.place(`${fileSystem}.disk`);
  await mkdir(root);
  await writeFile(disk, '');
  await truncate(disk, SIZE);
  const [program, ...options] = MAKERS[fileSystem];
  run(program, ...options, disk);
  run('mount', '-o', 'loop', disk, root);
  world.atEnd(() => run('umount', root));
  if (fileSystem === 'btrfs') run('btrfs', '-q', 'subvolume', 'create', mounted);
  else await mkdir(mounted);
  const whole = join(mounted, 'whole.img');
  await makeMixture(whole, 'whole', 1e9);
  const images = new Map<string, string>();
  for (const name of qubes) {
    const image = join(mounted, `${name}.img`);
    run('cp', '--reflink=always', whole, image);
    images.set(name, image);
  }
  const system = join(mounted, 'system');
  await makeSystem(system, images);
  return { mounted, system };
}

/**
 * Simulates that a VM is started, writes to a hundredth of its volume, and is shut down: as in Qubes, the VM writes to
 * a copy, which then replaces the old file.
 */
export async function startAndStop(
  { system }: ReflinkPool,
  qube: string,
  day: string,
): Promise<void> {
  const image = join(system, 'appvms', qube, 'private.img');
  const written = `${image}.dirty`;
  run('cp', '--reflink=always', image, written);
  useForADay(written, `${day} ${qube}`, 1 / 100);
  await rename(written, image);
}

function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}
