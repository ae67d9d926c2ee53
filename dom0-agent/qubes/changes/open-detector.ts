import { statfs } from 'node:fs/promises';
import { join } from 'node:path';

import type { RunForBytes, RunForLines, RunProgram } from '../../../shared/run-program.ts';
import type { IsRunning, PlacedVolume, VolumeDriver } from '../pools/pool-driver.ts';
import type { Notes } from './notes.ts';
import { fileIdentity } from './file-identity.ts';
import { plainDetector } from './plain-detector.ts';
import type { PoolDetector } from './pool-detector.ts';
import { ReflinkCopies } from './reflink-copies.ts';
import { reflinkDetector } from './reflink-detector.ts';
import { thinDetector } from './thin-detector.ts';
import { zfsDetector } from './zfs-detector.ts';

/** The magic numbers of XFS and btrfs (linux/magic.h), on which files can share blocks. */
const SHARE_BLOCKS = [0x58465342, 0x9123683e];

export interface DetectorOptions {
  readonly series: string;
  readonly isRunning: IsRunning;
  readonly runAsRoot: RunProgram;
  readonly linesAsRoot: RunForLines;
  readonly bytesAsRoot: RunForBytes;
  /** Notes from earlier backups. */
  readonly notes: Notes;
  readonly warn: (text: string) => void;
  /** See `rootPrefix`. */
  readonly rootPrefix: readonly string[];
  /** Where device nodes are. Default: `/dev`. */
  readonly devices?: string | undefined;
}

/** The detector for the pool that `driver` reads, which has these settings in `admin.pool.Info`. */
export async function openDetector(
  driver: VolumeDriver,
  settings: ReadonlyMap<string, string>,
  options: DetectorOptions,
): Promise<PoolDetector> {
  const { runAsRoot: run, linesAsRoot: runForLines } = options;
  const directory = settings.get('dir_path') ?? '';
  switch (settings.get('driver')) {
    case 'file':
      return plainDetector(driver, ({ vid }) => fileIdentity(imageIn(directory, vid)));
    case 'file-reflink':
      return imagePoolDetector({ ...options, directory, driver, run, runForLines });
    case 'lvm_thin': {
      const [volumeGroup, thinPool] = [settings.get('volume_group'), settings.get('thin_pool')];
      if (volumeGroup === undefined || thinPool === undefined) return plainDetector(driver);
      const { devices = '/dev' } = options;
      return thinDetector({ ...options, driver, volumeGroup, thinPool, devices });
    }
    case 'zfs': {
      const container = settings.get('container');
      if (container === undefined) return plainDetector(driver);
      const { devices = '/dev' } = options;
      return zfsDetector({ ...options, driver, container, devices: join(devices, 'zvol') });
    }
    case undefined:
    default:
      return plainDetector(driver);
  }
}

export interface ImagePoolOptions {
  readonly directory: string;
  readonly driver: VolumeDriver;
  readonly series: string;
  readonly isRunning: IsRunning;
  /** Both run programs as a user who may write to the pool. */
  readonly run: RunProgram;
  readonly runForLines: RunForLines;
}

/** The detector for a pool of image files: with copies that share blocks, if the file system can do that. */
export async function imagePoolDetector(options: ImagePoolOptions): Promise<PoolDetector> {
  const { directory, driver, series, isRunning, run, runForLines } = options;
  const imageOf = ({ vid }: PlacedVolume): string => imageIn(directory, vid);
  const identityOf = (placed: PlacedVolume) => fileIdentity(imageOf(placed));
  if (!(await canShareBlocks(directory))) return plainDetector(driver, identityOf);
  const copies = new ReflinkCopies(directory, series, run);
  return reflinkDetector({ driver, imageOf, identityOf, isRunning, copies, runForLines });
}

function imageIn(directory: string, vid: string): string {
  return join(directory, `${vid}.img`);
}

async function canShareBlocks(directory: string): Promise<boolean> {
  try {
    return SHARE_BLOCKS.includes((await statfs(directory)).type);
  } catch {
    return false;
  }
}
