import type { BigIntStats } from 'node:fs';
import { open, readFile, type FileHandle } from 'node:fs/promises';

import { FailedError, InterruptedError, messageOf, systemCodeOf } from '../../../shared/errors.ts';
import { dataExtents } from './data-extents.ts';
import { readWhole } from './read-whole.ts';
import type { VolumeImage } from '../system.ts';
import type { Extent } from '../../../shared/sparse-data.ts';

/** The kernel gives the size of any block device in sectors of this many bytes. */
const SECTOR = 512;

/**
 * The content of a volume in the file or block device at `path`.
 *
 * @param label for messages: `the volume private of work`
 * @param signal ends the search for data
 * @param known where there is data; by default it is searched for
 */
export async function openImage(
  path: string,
  label: string,
  signal: AbortSignal,
  known?: readonly Extent[],
): Promise<VolumeImage> {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw cannotOpen(error, path, label);
  });
  try {
    const before = await file.stat({ bigint: true });
    const size = await sizeOf(file, path);
    // Through the descriptor: the name may refer to another file by now.
    const extents =
      known ?? (await dataExtents(`/proc/${process.pid}/fd/${file.fd}`, size, signal));
    return {
      size,
      extents,
      read: (buffer, offset) => readWhole(file, buffer, offset, label),
      requireUnchanged: () => requireUnchanged(file, before, label),
      [Symbol.asyncDispose]: () => file.close(),
    };
  } catch (error) {
    await file.close();
    if (signal.aborted) throw new InterruptedError(`coffer was stopped while it opened ${label}`);
    throw new FailedError(`${label} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

async function sizeOf(file: FileHandle, path: string): Promise<number> {
  const stats = await file.stat();
  if (stats.isFile()) return stats.size;
  if (!stats.isBlockDevice()) {
    throw new FailedError(`${path} is neither a file nor a block device`);
  }
  // Linux's encoding of a device number (gnu_dev_major and gnu_dev_minor of glibc).
  const device = BigInt(stats.rdev);
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return Number(await readFile(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * SECTOR;
}

/**
 * Writing to a file changes its modification time. A device has none; its pool keeps it from changing.
 */
async function requireUnchanged(
  file: FileHandle,
  before: BigIntStats,
  label: string,
): Promise<void> {
  const { size, mtimeNs } = await file.stat({ bigint: true });
  if (!before.isFile() || (size === before.size && mtimeNs === before.mtimeNs)) return;
  throw new FailedError(
    `${label} was changed while it was read, so what was read is useless: try again, and do not ` +
      'start its VM in the meantime',
  );
}

/** Why the file at `path`, with the content of a volume, cannot be opened. */
export function cannotOpen(error: unknown, path: string, label: string): FailedError {
  switch (systemCodeOf(error)) {
    case 'ENOENT':
      return new FailedError(
        `${label} has no committed content, as ${path} does not exist: if its VM runs, shut it down first`,
      );
    case 'EACCES':
      return new FailedError(`${label} cannot be read: only root may open ${path}`);
    case undefined:
    default:
      return new FailedError(`${label} cannot be opened: ${messageOf(error)}`);
  }
}
