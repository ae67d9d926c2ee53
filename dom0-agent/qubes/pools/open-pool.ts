import { RefusedError } from '../../../shared/errors.ts';
import type { IsRunning, VolumeDriver } from './pool-driver.ts';
import { openFilePool, openFileReflinkPool } from './file-pool.ts';
import type { HoldFile } from './held-file.ts';
import { openLvmThinPool } from './lvm-thin-pool.ts';
import type { RunProgram } from '../../../shared/run-program.ts';
import { openZfsPool } from './zfs-pool.ts';

/** What reading a pool needs from the system. */
export interface PoolSurroundings {
  /** Runs programs as root. */
  readonly runAsRoot: RunProgram;
  readonly isRunning: IsRunning;
  /** Default: this process holds files itself. */
  readonly holdFile?: HoldFile | undefined;
  /** Where device nodes are. Default: `/dev`. */
  readonly devices?: string | undefined;
}

/** Whether coffer can read this type of pool; for `callback`, see callback-pool.ts. */
export function isReadable(settings: ReadonlyMap<string, string>): boolean {
  return ['file', 'file-reflink', 'lvm_thin', 'zfs'].includes(settings.get('driver') ?? '');
}

/**
 * The driver for a storage pool with these settings from `admin.pool.Info`. Throws RefusedError for a
 * type of pool that coffer cannot read.
 */
export function openPool(
  name: string,
  settings: ReadonlyMap<string, string>,
  surroundings: PoolSurroundings,
): VolumeDriver {
  const driver = settings.get('driver') ?? '(none)';
  const setting = (key: string): string => {
    const value = settings.get(key);
    if (!value) throw new RefusedError(`the storage pool ${name} does not say its "${key}"`);
    return value;
  };
  const { runAsRoot, isRunning, holdFile, devices = '/dev' } = surroundings;

  switch (driver) {
    case 'file':
      return openFilePool(setting('dir_path'), isRunning);
    case 'file-reflink':
      return openFileReflinkPool(setting('dir_path'), isRunning, holdFile);
    case 'lvm_thin':
      return openLvmThinPool({
        volumeGroup: setting('volume_group'),
        runAsRoot,
        isRunning,
        devices,
      });
    case 'zfs':
      return openZfsPool({
        container: setting('container'),
        runAsRoot,
        isRunning,
        devices: `${devices}/zvol`,
      });
    default:
      throw new RefusedError(
        `coffer cannot read volumes of the storage pool ${name}, which is of type "${driver}": ` +
          `it supports file, file-reflink, lvm_thin and zfs`,
      );
  }
}
