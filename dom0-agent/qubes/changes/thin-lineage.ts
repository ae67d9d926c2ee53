import { randomBytes } from 'node:crypto';

import type { RunProgram } from '../../../shared/run-program.ts';
import type { ThinDevice, ThinPoolState } from './thin-dump.ts';
import { type LogicalVolume, listVolumes } from './thin-volumes.ts';
import type { Note } from './notes.ts';

/** How the names of marks begin. qubesd ignores them, as they do not begin with `vm-`. */
const MARK = 'coffer-mark-';
const MARK_SIZE = '4m';

/** A thin volume without content, whose presence in the metadata shows that it was not rolled back. */
export interface Mark {
  readonly name: string;
  readonly uuid: string;
  readonly device: ThinDevice;
}

/** What is recorded about a pool, to know later whether maps of its volumes can still be compared. */
export interface Lineage {
  /** Also in the note of each volume. It is changed when maps cannot be compared any more. */
  readonly epoch: string;
  readonly pool: ThinPoolState;
  readonly mark: Mark;
}

/**
 * Why recorded maps can no longer be compared with a pool: it is another one, or its metadata was rolled back, so that
 * places and times in it mean nothing. Undefined if they can be compared.
 *
 * @param volumes all volumes of its volume group
 * @param found what the metadata says now: of the pool, and of the device with the mark's number, if there is one
 */
export function whyOtherLineage(
  { pool, mark }: Lineage,
  volumes: readonly LogicalVolume[],
  found: { readonly pool: ThinPoolState; readonly device: ThinDevice | undefined },
): string | undefined {
  if (found.pool.blockSize !== pool.blockSize) return 'its blocks are of another size';
  if (found.pool.transaction < pool.transaction || found.pool.time < pool.time) {
    return 'its metadata is older than that of the last backup';
  }
  const volume = volumes.find(({ uuid }) => uuid === mark.uuid);
  const { device } = found;
  const isTheMark =
    volume?.thinId === mark.device.id &&
    device?.id === mark.device.id &&
    device.transaction === mark.device.transaction &&
    device.creationTime === mark.device.creationTime &&
    device.mappedBlocks === 0;
  return isTheMark ? undefined : 'the mark of the last backup is not in its metadata';
}

/** Makes a mark for a series, and returns it. Throws FailedError. */
export async function makeMark(
  runAsRoot: RunProgram,
  pool: { readonly group: string; readonly name: string },
  series: string,
): Promise<LogicalVolume> {
  const name = `${MARK}${randomBytes(8).toString('hex')}`;
  await runAsRoot('lvm', [
    ...['lvcreate', '--type=thin', '--activate=n', '--setactivationskip=y'],
    ...[`--virtualsize=${MARK_SIZE}`, `--thinpool=${pool.name}`],
    ...[`--addtag=${tagOf(series)}`, `--name=${name}`, '--', pool.group],
  ]);
  const [made] = await listVolumes(runAsRoot, `${pool.group}/${name}`);
  if (made === undefined) throw new RangeError(`LVM does not list ${name}`);
  return made;
}

/** The marks that a series has made in the volume group. */
export function marksOf(volumes: readonly LogicalVolume[], series: string): LogicalVolume[] {
  return volumes.filter(({ name, tags }) => name.startsWith(MARK) && tags.includes(tagOf(series)));
}

function tagOf(series: string): string {
  return `coffer-series-${series}`;
}

/** The note from which `parseLineage` reads the same. */
export function formatLineage({ epoch, pool, mark }: Lineage): Note {
  return {
    epoch,
    time: `${pool.time}`,
    transaction: `${pool.transaction}`,
    blockSize: `${pool.blockSize}`,
    markName: mark.name,
    markUuid: mark.uuid,
    markId: `${mark.device.id}`,
    markTransaction: `${mark.device.transaction}`,
    markTime: `${mark.device.creationTime}`,
  };
}

/** Undefined if the note does not have all fields. */
export function parseLineage(note: Note): Lineage | undefined {
  const number = (name: string): number => Number(note[name] ?? NaN);
  const { epoch = '', markName: name = '', markUuid: uuid = '' } = note;
  const pool = {
    ...{ time: number('time'), transaction: number('transaction') },
    blockSize: number('blockSize'),
  };
  const device = {
    ...{ id: number('markId'), mappedBlocks: 0 },
    ...{ transaction: number('markTransaction'), creationTime: number('markTime') },
  };
  const numbers = [...Object.values(pool), ...Object.values(device)];
  const isWhole = [epoch, name, uuid].every((text) => text !== '');
  if (!isWhole || !numbers.every((value) => Number.isSafeInteger(value))) return undefined;
  return { epoch, pool, mark: { name, uuid, device } };
}
