import { randomBytes } from 'node:crypto';

import type { RunProgram } from '../../../shared/run-program.ts';
import type { ThinDevice, ThinPoolState } from './thin-dump.ts';
import { type LogicalVolume, listVolumes } from './thin-volumes.ts';
import type { Note } from './notes.ts';

/** Beginning of the names of marks; qubesd ignores them, as they do not begin with `vm-`. */
const MARK = 'coffer-mark-';
const MARK_SIZE = '4m';

/** A thin volume without content, whose presence in the metadata tells that they were not set back. */
export interface Mark {
  readonly name: string;
  readonly uuid: string;
  readonly device: ThinDevice;
}

/** What is noted of a pool, so that it can be told whether maps of its volumes can still be compared. */
export interface Lineage {
  /** Made anew when they cannot: it stands in the note of each volume. */
  readonly epoch: string;
  readonly pool: ThinPoolState;
  readonly mark: Mark;
}

/**
 * Why a pool is not the one that was noted, or its metadata were set back since, so that places and times in it mean
 * nothing; undefined when it is and they were not.
 *
 * @param volumes all of its volume group
 * @param found the device with the mark's number, in the metadata, if there is one
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

/** Makes a mark for a series; gives its name. Throws FailedError. */
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

/** Undefined when the note tells of none. */
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
