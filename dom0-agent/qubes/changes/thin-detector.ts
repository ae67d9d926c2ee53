import { randomBytes } from 'node:crypto';

import { FailedError, messageOf } from '../../../shared/errors.ts';
import type { RunProgram, RunForLines } from '../../../shared/run-program.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import { ExtentList, extentsBelow } from '../pools/extent-list.ts';
import type { OpenedVolume, PlacedVolume, VolumeDriver } from '../pools/pool-driver.ts';
import { readFrom, writtenTo } from './map-file.ts';
import { differences, type Mappings } from './mapping.ts';
import { whileMetadataHeld } from './metadata-snapshot.ts';
import type { Note, Notes } from './notes.ts';
import {
  type Capture,
  captureOpened,
  type Comparison,
  type PoolDetector,
  type ToCapture,
} from './pool-detector.ts';
import { ThinDump } from './thin-dump.ts';
import {
  formatLineage,
  type Lineage,
  makeMark,
  marksOf,
  parseLineage,
  whyOtherLineage,
} from './thin-lineage.ts';
import { type LogicalVolume, listVolumes } from './thin-volumes.ts';

export interface ThinOptions {
  /** Opens a volume as a snapshot of it. */
  readonly driver: VolumeDriver;
  readonly volumeGroup: string;
  readonly thinPool: string;
  readonly series: string;
  readonly runAsRoot: RunProgram;
  readonly linesAsRoot: RunForLines;
  readonly rootPrefix: readonly string[];
  readonly devices: string;
  readonly notes: Notes;
  readonly warn: (text: string) => void;
}

const POOL_NOTE = 'thin-pool.';
const MAP = '.map';

/**
 * The detector for pools of the kind `lvm_thin`. For each block of a volume, dm-thin records where it is, and a time:
 * how many snapshots the pool had seen when the block was put there. A snapshot makes all blocks shared, a shared block
 * is never written to, and a block that replaces it has a later time. So a block with the same place and time in two
 * snapshots has the same content. The map of coffer's own short-lived snapshot is recorded, and compared with that of
 * the next one; no snapshot is kept.
 */
export function thinDetector(options: ThinOptions): PoolDetector {
  return new ThinDetector(options);
}

/** What was found out about the pool in this backup. */
interface PoolNow {
  readonly uuid: string;
  readonly epoch: string;
}

/** A snapshot that the driver has made. */
interface Snapshot extends LogicalVolume {
  /** See `PoolDetector.identityOf`. Undefined: the volume is not there any more. */
  readonly identityOfOrigin: string | undefined;
}

function identityOf({ groupUuid, uuid, thinId, size }: LogicalVolume): string {
  return [groupUuid, uuid, thinId, size].join(' ');
}

class ThinDetector implements PoolDetector {
  readonly #options: ThinOptions;
  #volumes: Promise<readonly LogicalVolume[]> | undefined;
  #pool: Promise<PoolNow> | undefined;
  /** The pool's new note, once it has been made. */
  #made: Lineage | undefined;

  constructor(options: ThinOptions) {
    this.#options = options;
  }

  /**
   * Identifies the logical volume: each start of a VM makes a new one, for what the VM writes. Not for a volume without
   * a saved state, which is written to in place. `lvconvert --merge` gives a volume the content of a snapshot of it: its
   * UUID stays the same, its number in the pool does not.
   */
  async identityOf({ vid, hasNoSavedState }: PlacedVolume): Promise<string | undefined> {
    if (hasNoSavedState) return undefined;
    const volumes = await this.#listed();
    const found = volumes.find(({ name }) => `${this.#options.volumeGroup}/${name}` === vid);
    return found && identityOf(found);
  }

  holds(placed: PlacedVolume): boolean {
    return this.#options.driver.holds(placed);
  }

  async capture(volume: ToCapture): Promise<Capture> {
    return await captureOpened(this.#options.driver, volume.placed, async (opened) => {
      // Now, while the snapshot still has the origin from which it was made.
      const snapshot = await this.#snapshotOf(opened, volume.placed).catch(asResult);
      return {
        opened,
        compare: (before, signal) => this.#compared(volume, snapshot, before, signal),
        [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
      };
    });
  }

  async seal(): Promise<void> {
    // Nothing was captured, or the metadata could not be read.
    const now = await this.#pool?.catch(() => undefined);
    if (now === undefined) return;
    const { runAsRoot, volumeGroup, thinPool, series, notes } = this.#options;
    const { epoch, uuid } = now;
    const made = await makeMark(runAsRoot, { group: volumeGroup, name: thinPool }, series);
    const { pool, device } = await this.#deviceOf(made);
    if (device === undefined || made.groupUuid + made.poolUuid !== uuid) {
      throw new FailedError(`${made.name} is not in the metadata of the pool that was read`);
    }
    this.#made = { epoch, pool, mark: { name: made.name, uuid: made.uuid, device } };
    await notes.write(POOL_NOTE + uuid, formatLineage(this.#made));
  }

  async tidy(lasting: readonly Note[]): Promise<void> {
    const { runAsRoot, volumeGroup, series, notes } = this.#options;
    const maps = lasting.map(({ map }) => map).filter((map) => map !== undefined);
    await notes.removeOthers(MAP, new Set(maps));
    const pool = await this.#pool?.catch(() => undefined);
    if (this.#made === undefined || pool === undefined) return;
    // If another pool of qubesd has the same thin pool, the mark that counts may be that of its detector.
    const noted = parseLineage((await notes.read(POOL_NOTE + pool.uuid)) ?? {}) ?? this.#made;
    for (const mark of marksOf(await listVolumes(runAsRoot, volumeGroup), series)) {
      if (mark.groupUuid + mark.poolUuid !== pool.uuid || mark.uuid === noted.mark.uuid) continue;
      await runAsRoot('lvm', ['lvremove', '--force', '--', `${volumeGroup}/${mark.name}`]);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** @param snapshot as LVM reports it, or why it does not */
  async #compared(
    { placed, key, backup }: ToCapture,
    snapshot: Snapshot | FailedError,
    before: Note | undefined,
    signal: AbortSignal,
  ): Promise<Comparison> {
    let identity: string | undefined;
    try {
      if (snapshot instanceof FailedError) throw snapshot;
      if (!placed.hasNoSavedState) identity = snapshot.identityOfOrigin;
      const { epoch } = await (this.#pool ??= this.#checked(snapshot));
      const map = `${key}.${backup}${MAP}`;
      const found = await this.#compare(snapshot, epoch, before, map, signal);
      const note = { epoch, map, mapDigest: found.digest };
      return { identity, changed: found.changed, extents: found.extents, note };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof FailedError)) throw error;
      // The volume can be read nevertheless: its content does not change.
      const changed = `the pool's metadata cannot be read: ${messageOf(error)}`;
      return { identity, changed, extents: undefined, note: undefined };
    }
  }

  /** The snapshot that the driver has made, as LVM reports it. */
  async #snapshotOf({ path }: OpenedVolume, { vid }: PlacedVolume): Promise<Snapshot> {
    const { runAsRoot, volumeGroup, devices } = this.#options;
    const id = path.slice(`${devices}/`.length);
    const listed = await listVolumes(runAsRoot, volumeGroup);
    const snapshot = listed.find(({ name }) => `${volumeGroup}/${name}` === id);
    const origin = listed.find(({ uuid }) => uuid === snapshot?.originUuid);
    if (snapshot?.thinId === undefined) {
      throw new FailedError(`LVM does not report what ${id}, the snapshot of ${vid}, is`);
    }
    // <start> <length> thin <pool> <number>, then an external origin, if what is not mapped does not read as zeros
    const dm = `LVM-${snapshot.groupUuid}${snapshot.uuid}`;
    const table = (await runAsRoot('dmsetup', ['table', '--uuid', dm])).trim().split(/\s+/);
    if (table.length !== 5 || table[2] !== 'thin' || table[4] !== `${snapshot.thinId}`) {
      throw new FailedError(`${id} is not the thin device that LVM reports: ${table.join(' ')}`);
    }
    // It may have been made larger since.
    const asRead = origin && { ...origin, size: snapshot.size };
    return { ...snapshot, identityOfOrigin: asRead && identityOf(asRead) };
  }

  /** The pool, with its recorded epoch if it is still as recorded, or else a new one. Called once for each backup. */
  async #checked(snapshot: LogicalVolume): Promise<PoolNow> {
    const { notes, warn, volumeGroup, thinPool } = this.#options;
    const uuid = snapshot.groupUuid + snapshot.poolUuid;
    const noted = parseLineage((await notes.read(POOL_NOTE + uuid)) ?? {});
    const anew = { uuid, epoch: randomBytes(8).toString('hex') };
    if (noted === undefined) return anew;
    const mark = { ...snapshot, thinId: noted.mark.device.id };
    const why = whyOtherLineage(noted, await this.#listed(), await this.#deviceOf(mark));
    if (why === undefined) return { uuid, epoch: noted.epoch };
    warn(
      `the thin pool ${volumeGroup}/${thinPool} is not as the last backup left it, because ${why}: all volumes in it are ` +
        'compared as a whole',
    );
    return anew;
  }

  /** A device of the pool in its metadata, and the pool itself. */
  async #deviceOf(volume: LogicalVolume): Promise<Pick<ThinDump, 'pool' | 'device'>> {
    return await this.#whileHeld(volume, async (metadata) => {
      const dump = this.#dump(metadata, volume);
      await readToEnd(dump.mappings());
      return { pool: dump.pool, device: dump.device };
    });
  }

  /** Compares the snapshot's map with the recorded one, and records it. */
  async #compare(
    snapshot: LogicalVolume,
    epoch: string,
    before: Note | undefined,
    map: string,
    signal: AbortSignal,
  ): Promise<{ changed: readonly Extent[] | string; extents: readonly Extent[]; digest: string }> {
    const path = this.#options.notes.pathOf(map);
    return await this.#whileHeld(snapshot, async (metadata) => {
      const pass = async (old: Mappings): Promise<NotedMap & { changed: readonly Extent[] }> => {
        const dump = this.#dump(metadata, snapshot);
        const extents = new ExtentList();
        let digest = '';
        const written = writtenTo(path, dump.mappings(), (hex) => (digest = hex));
        const changed = await differences(old, collected(written, extents), Infinity);
        if (dump.device === undefined) throw new FailedError('its snapshot is not there');
        return { changed, extents: extentsBelow(extents.extents, snapshot.size), digest };
      };
      const old = this.#mapIn(before, epoch);
      if (typeof old === 'string') return { ...(await pass(none())), changed: old };
      try {
        return await pass(old);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof FailedError)) throw error;
        return { ...(await pass(none())), changed: messageOf(error) };
      }
    });
  }

  /** The recorded map, or why it cannot be compared. */
  #mapIn(before: Note | undefined, epoch: string): Mappings | string {
    const { map, mapDigest } = before ?? {};
    if (map === undefined || mapDigest === undefined) return 'its map was not recorded';
    if (before?.['epoch'] !== epoch) return 'its thin pool is not as the last backup left it';
    return readFrom(this.#options.notes.pathOf(map), mapDigest);
  }

  #dump(metadata: string, { thinId }: LogicalVolume): ThinDump {
    if (thinId === undefined) throw new RangeError('only thin volumes are in the metadata');
    return new ThinDump(this.#options.linesAsRoot, metadata, thinId);
  }

  async #whileHeld<T>(volume: LogicalVolume, read: (metadata: string) => Promise<T>): Promise<T> {
    return await whileMetadataHeld(
      { ...this.#options, poolUuid: volume.groupUuid + volume.poolUuid },
      read,
    );
  }

  #listed(): Promise<readonly LogicalVolume[]> {
    return (this.#volumes ??= listVolumes(this.#options.runAsRoot, this.#options.volumeGroup));
  }
}

/** For `catch`: returns a FailedError, to be reported later. */
function asResult(error: unknown): FailedError {
  if (error instanceof FailedError) return error;
  throw error;
}

interface NotedMap {
  readonly extents: readonly Extent[];
  readonly digest: string;
}

async function* none(): Mappings {
  yield await Promise.resolve([]);
}

async function readToEnd(mappings: Mappings): Promise<void> {
  const all = mappings[Symbol.asyncIterator]();
  while ((await all.next()).done !== true);
}

/** Passes mappings on, and adds their extents to the list. */
async function* collected(mappings: Mappings, extents: ExtentList): Mappings {
  for await (const batch of mappings) {
    for (const { offset, length } of batch) extents.add(offset, length);
    yield batch;
  }
}
