import { FailedError, messageOf } from '../../../shared/errors.ts';
import { formatSize } from '../../../shared/sizes.ts';
import { volumeLabel } from '../qube.ts';
import type { Pool } from '../system.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import { AdminApiError } from './admin-api-error.ts';
import type { AdminApi } from './admin-api.ts';
import { linesOf, parseFields, parseProperties, parseVolume } from './replies.ts';

/** Holds kernels, which are never written to (qubes/storage/kernels.py of qubes-core-admin). */
const KERNEL_DRIVER = 'linux-kernel';
/** A thin pool with this much of its metadata in use takes no more, however much room it has for data. */
const METADATA_FULL = 0.98;

/** The pools that take volumes, and the free space in each. */
export async function poolsOf(api: AdminApi): Promise<Pool[]> {
  const usual = parseProperties(await api('dom0', 'admin.property.GetAll')).find(
    ({ name }) => name === 'default_pool',
  );
  const pools: Pool[] = [];
  for (const name of linesOf(await api('dom0', 'admin.pool.List'))) {
    const fields = parseFields(await api('dom0', 'admin.pool.Info', name));
    if (fields.get('driver') === KERNEL_DRIVER) continue;
    pools.push({ name, free: freeOf(fields), isDefault: usual?.value === name });
  }
  return pools;
}

/** The kernels in the pools of kernels; undefined if qubesd does not list them. */
export async function kernelsIn(api: AdminApi): Promise<string[] | undefined> {
  const kernels: string[] = [];
  try {
    for (const name of linesOf(await api('dom0', 'admin.pool.List'))) {
      const fields = parseFields(await api('dom0', 'admin.pool.Info', name));
      if (fields.get('driver') !== KERNEL_DRIVER) continue;
      kernels.push(...linesOf(await api('dom0', 'admin.pool.volume.List', name)));
    }
  } catch (error) {
    if (error instanceof AdminApiError) return undefined;
    throw error;
  }
  return kernels;
}

/**
 * Imports a volume with `send`. qubesd gives no reason when data cannot be written: the free space in the
 * pool, before and after, may explain it.
 */
export async function importIntoPool(
  api: AdminApi,
  { qubeName, volume, size }: { qubeName: string; volume: string; size: number },
  pieces: AsyncIterable<DataPiece>,
  send: (pieces: AsyncIterable<DataPiece>) => Promise<void>,
): Promise<void> {
  const { pool } = parseVolume(volume, await api(qubeName, 'admin.vm.volume.Info', volume));
  const before = await freeIn(api, pool);
  let written = 0;
  const counted = async function* (): AsyncGenerator<DataPiece> {
    for await (const piece of pieces) {
      written += piece.bytes.length;
      yield piece;
    }
  };
  try {
    await send(counted());
  } catch (error) {
    if (!(error instanceof AdminApiError)) throw error;
    const room = await describeRoom(api, pool, before, size);
    throw new FailedError(
      `${volumeLabel(qubeName, volume)} could not be written, after ${formatSize(written)} of data: ` +
        `${room} (${messageOf(error)})`,
      { cause: error },
    );
  }
}

/** What may have kept a volume of this size out of a pool, in words. */
async function describeRoom(
  api: AdminApi,
  pool: string,
  before: number | undefined,
  size: number,
): Promise<string> {
  const after = await freeIn(api, pool).catch(() => undefined);
  const needed = `the volume needs up to ${formatSize(size)}`;
  if (await isMetadataFull(api, pool)) return `the metadata of its pool ${pool} is full`;
  if (before === undefined) return `its pool ${pool} does not report its free space, and ${needed}`;
  const free = `${formatSize(before)} were free, and ${needed}`;
  if (before < size) return `its pool ${pool} is full: ${free}`;
  if (after !== undefined && after < size) {
    return `its pool ${pool} has filled up in the meantime: ${free}, but ${formatSize(after)} are free now`;
  }
  return `its pool ${pool} is not full: ${free}`;
}

async function freeIn(api: AdminApi, pool: string): Promise<number | undefined> {
  return freeOf(parseFields(await api('dom0', 'admin.pool.Info', pool)));
}

/** False for pools that do not say, and on releases of Qubes without this call. */
async function isMetadataFull(api: AdminApi, pool: string): Promise<boolean> {
  try {
    const details = parseFields(await api('dom0', 'admin.pool.UsageDetails', pool));
    const [size, usage] = ['metadata_size', 'metadata_usage'].map((key) =>
      Number(details.get(key)),
    );
    return size !== undefined && usage !== undefined && size > 0 && usage >= size * METADATA_FULL;
  } catch {
    return false;
  }
}

/** Undefined for a pool that does not say. */
function freeOf(fields: ReadonlyMap<string, string>): number | undefined {
  const [size, usage] = ['size', 'usage'].map((key) => Number(fields.get(key) ?? NaN));
  if (size === undefined || usage === undefined) return undefined;
  const free = size - usage;
  return Number.isSafeInteger(free) ? Math.max(free, 0) : undefined;
}
