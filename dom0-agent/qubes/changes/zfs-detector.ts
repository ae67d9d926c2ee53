import { DamagedError, FailedError, messageOf } from '../../../shared/errors.ts';
import { memoize } from '../../../shared/memoize.ts';
import type { RunForBytes, RunProgram } from '../../../shared/run-program.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import type { IsRunning, OpenedVolume, PlacedVolume, VolumeDriver } from '../pools/pool-driver.ts';
import type { Note } from './notes.ts';
import type { Capture, Comparison, PoolDetector, ToCapture } from './pool-detector.ts';
import {
  type Bookmark,
  describeVolume,
  isClean,
  sameCleanSnapshot,
  type VolumeState,
  type ZfsVolume,
} from './zfs-datasets.ts';
import { readSendStream, type StreamedChanges } from './zfs-stream.ts';

export interface ZfsDetectorOptions {
  /** Opens a volume as a clone of a snapshot. */
  readonly driver: VolumeDriver;
  /** The dataset that holds the pool's volumes. */
  readonly container: string;
  readonly series: string;
  readonly isRunning: IsRunning;
  readonly runAsRoot: RunProgram;
  readonly bytesAsRoot: RunForBytes;
  /** Where the device nodes of volumes are: `/dev/zvol`. */
  readonly devices: string;
}

/** Sends blocks as they are stored: larger than 128 KiB, embedded or compressed. */
const SEND = ['send', '--large-block', '--embed', '--compressed'];

/**
 * The detector for pools of the kind `zfs`. Each block of a volume has the number of the transaction group in which it
 * was written, and none is changed in place. Of the snapshot that is read, a bookmark is kept: its guid and transaction
 * group, but no data. The next backup asks for a stream from the bookmark to its own snapshot, and looks where that
 * writes. If the bookmark still exists, the volume has developed from the content that the bookmark was made of.
 */
export function zfsDetector(options: ZfsDetectorOptions): PoolDetector {
  return new ZfsDetector(options);
}

class ZfsDetector implements PoolDetector {
  readonly #options: ZfsDetectorOptions;
  /** The names of the bookmarks that were made for this backup. */
  readonly #made = new Set<string>();
  /** The guid of the pool, which is synced first, so that everything that was written to it is visible. */
  readonly #pool: () => Promise<string>;

  constructor(options: ZfsDetectorOptions) {
    this.#options = options;
    const [pool = ''] = options.container.split('/');
    this.#pool = memoize(async () => {
      await options.runAsRoot('zpool', ['sync', pool]);
      return (
        await options.runAsRoot('zpool', ['get', '-H', '-p', '-o', 'value', 'guid', pool])
      ).trim();
    });
  }

  /**
   * Identifies qubesd's snapshot of the committed content. While the VM runs, that is the newest one. While it does
   * not, the volume itself is the committed content, and must be unchanged since the snapshot. A volume without a saved
   * state has no such snapshot.
   */
  async identityOf(placed: PlacedVolume): Promise<string | undefined> {
    if (placed.hasNoSavedState) return undefined;
    const { isRunning, runAsRoot } = this.#options;
    try {
      const pool = await this.#pool();
      const isInUse = await isRunning(placed.qubeName);
      const volume = await describeVolume(runAsRoot, placed.vid);
      const committed = isInUse ? volume.states.findLast(isClean) : volume.states.at(-1);
      return committed && identityOf(pool, volume, sameCleanSnapshot(volume, committed));
    } catch (error) {
      if (!(error instanceof FailedError)) throw error;
      // The volume is opened then, which shows what is wrong.
      return undefined;
    }
  }

  holds(placed: PlacedVolume): boolean {
    return this.#options.driver.holds(placed);
  }

  async capture(volume: ToCapture): Promise<Capture> {
    const opened = await this.#options.driver.open(volume.placed);
    return {
      opened,
      compare: (before, signal) => this.#compared(volume, opened, before, signal),
      [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
    };
  }

  seal(): Promise<void> {
    return Promise.resolve();
  }

  async tidy(notes: readonly Note[]): Promise<void> {
    const wanted = new Set(notes.map(({ bookmark, guid }) => `${bookmark} ${guid}`));
    const ours = bookmarksOf(this.#options.series);
    await this.#remove(({ name, guid }) => name.startsWith(ours) && !wanted.has(`${name} ${guid}`));
    this.#made.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#made.size > 0) await this.#remove(({ name }) => this.#made.has(name));
  }

  /** Removes those unwanted bookmarks whose volumes still exist. */
  async #remove(isUnwanted: (bookmark: Omit<Bookmark, 'txg'>) => boolean): Promise<void> {
    const { runAsRoot, container } = this.#options;
    const args = ['list', '-H', '-p', '-o', 'name,guid', '-t', 'bookmark', '-r', '--', container];
    for (const line of (await runAsRoot('zfs', args)).split('\n')) {
      const [path = '', guid = ''] = line.split('\t');
      const [, name = ''] = path.split('#');
      if (isUnwanted({ name, guid })) await runAsRoot('zfs', ['destroy', path]);
    }
  }

  async #compared(
    { placed, backup }: ToCapture,
    opened: OpenedVolume,
    before: Note | undefined,
    signal: AbortSignal,
  ): Promise<Comparison> {
    try {
      const pool = await this.#pool();
      const volume = await describeVolume(this.#options.runAsRoot, placed.vid);
      const snapshot = await this.#snapshotOf(opened, volume);
      const clean = sameCleanSnapshot(volume, snapshot);
      // A bookmark of the clean snapshot can be used even if the VM runs at the next backup.
      const content = clean ?? snapshot;
      const bookmark = `${bookmarksOf(this.#options.series)}${backup}`;
      this.#made.add(bookmark);
      await this.#options.runAsRoot('zfs', ['bookmark', content.name, `${placed.vid}#${bookmark}`]);
      const found = await this.#changedSince(before, { pool, volume, content }, signal);
      return {
        identity: placed.hasNoSavedState ? undefined : identityOf(pool, volume, clean),
        ...(typeof found === 'string' ? { changed: found, extents: undefined } : found),
        note: { pool, volume: volume.guid, bookmark, guid: content.guid, txg: `${content.txg}` },
      };
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof FailedError)) throw error;
      // The volume can be read nevertheless: its content does not change.
      const changed = `ZFS does not report it: ${messageOf(error)}`;
      return { identity: undefined, changed, extents: undefined, note: undefined };
    }
  }

  /** The snapshot whose clone the driver has opened. */
  async #snapshotOf({ path }: OpenedVolume, { states }: ZfsVolume): Promise<VolumeState> {
    const { runAsRoot, devices } = this.#options;
    const clone = path.slice(`${devices}/`.length);
    const args = ['get', '-H', '-p', '-o', 'value', 'origin', '--', clone];
    const origin = (await runAsRoot('zfs', args)).trim();
    const found = states.find(({ name }) => name === origin);
    if (found === undefined) throw new FailedError(`${origin} is not a snapshot of the volume`);
    return found;
  }

  async #changedSince(
    before: Note | undefined,
    now: {
      readonly pool: string;
      readonly volume: ZfsVolume;
      readonly content: VolumeState;
    },
    signal: AbortSignal,
  ): Promise<StreamedChanges | string> {
    const { volume, content } = now;
    if (before?.['bookmark'] === undefined) return 'no bookmark was kept of it';
    if (before['pool'] !== now.pool || before['volume'] !== volume.guid) {
      return 'it is another volume than at the last backup';
    }
    const bookmark = volume.bookmarks.find(({ name }) => name === before['bookmark']);
    if (bookmark === undefined) return 'its bookmark is not there any more';
    if (bookmark.guid !== before['guid'] || `${bookmark.txg}` !== before['txg']) {
      return 'its bookmark is another one than was made at the last backup';
    }
    const whole: readonly Extent[] = [{ offset: 0, length: content.size }];
    if (content.guid === bookmark.guid) return { changed: [], extents: whole };
    if (!(content.txg > bookmark.txg)) return 'its content is older than at the last backup';
    const [vid] = content.name.split('@');
    const from = `${vid}#${bookmark.name}`;
    try {
      return await readSendStream(
        this.#options.bytesAsRoot('zfs', [...SEND, '-i', from, content.name]),
        {
          fromGuid: BigInt(bookmark.guid),
          toGuid: BigInt(content.guid),
          size: content.size,
        },
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof FailedError || error instanceof DamagedError)) throw error;
      return messageOf(error);
    }
  }
}

function bookmarksOf(series: string): string {
  return `coffer:${series}:`;
}

function identityOf(
  pool: string,
  volume: ZfsVolume,
  clean: VolumeState | undefined,
): string | undefined {
  return clean && [pool, volume.guid, clean.guid].join(' ');
}
