import { FailedError } from '../../../shared/errors.ts';
import type { RunProgram } from '../../../shared/run-program.ts';

/** A state of a volume: what it is now, or one of its snapshots. */
export interface VolumeState {
  /** `pool/vm/private`, or `pool/vm/private@name`. */
  readonly name: string;
  readonly guid: string;
  /** The number of the pool's transaction group that made it. */
  readonly txg: number;
  /** How many bytes were written between the state before it and this one. */
  readonly written: number;
  /** The size of the volume, in bytes. */
  readonly size: number;
}

/** A bookmark of a volume. */
export interface Bookmark {
  /** What follows the `#`. */
  readonly name: string;
  /** As in the snapshot from which it was made. */
  readonly guid: string;
  readonly txg: number;
}

/** A volume with its snapshots and bookmarks, as ZFS reports them. */
export interface ZfsVolume {
  readonly guid: string;
  /** Its snapshots in the order in which they were made, and its present state at the end. */
  readonly states: readonly VolumeState[];
  readonly bookmarks: readonly Bookmark[];
}

const FIELDS = 'type,name,guid,createtxg,written,volsize';

/** Asks ZFS about a volume (`pool/vm/private`). Throws FailedError. */
export async function describeVolume(runAsRoot: RunProgram, vid: string): Promise<ZfsVolume> {
  const listed = await runAsRoot('zfs', [
    ...['list', '-H', '-p', '-o', FIELDS, '-s', 'createtxg', '-d', '1'],
    ...['-t', 'volume,snapshot,bookmark', '--', vid],
  ]);
  const snapshots: VolumeState[] = [];
  const bookmarks: Bookmark[] = [];
  let now: VolumeState | undefined;
  for (const line of listed.split('\n').filter((line) => line !== '')) {
    const [type, name = '', guid = '', ...numbers] = line.split('\t');
    const [txg, written, size] = numbers.map(Number);
    if (!/^\d{1,20}$/.test(guid)) throw new FailedError(`ZFS reports no guid of ${name}`);
    const state = { name, guid, txg: whole(txg), written: whole(written), size: whole(size) };
    if (type === 'volume' && name === vid) now = state;
    else if (type === 'snapshot' && name.startsWith(`${vid}@`)) snapshots.push(state);
    else if (type === 'bookmark' && name.startsWith(`${vid}#`)) {
      bookmarks.push({ name: name.slice(vid.length + 1), guid, txg: state.txg });
    }
  }
  if (now === undefined) throw new FailedError(`ZFS does not report what ${vid} is`);
  return { guid: now.guid, states: [...snapshots, now], bookmarks };
}

/** NaN, which equals no number, for what ZFS does not report (`-`). */
function whole(number: number | undefined): number {
  return number !== undefined && Number.isSafeInteger(number) ? number : NaN;
}

/** How the names of the snapshots begin that qubesd takes of a volume's committed content (qubes/storage/zfs.py). */
const CLEAN = 'qubes-clean';

/**
 * The newest snapshot that qubesd took of the volume's committed content up to `state`, if nothing was written since,
 * so that its content is the same.
 */
export function sameCleanSnapshot(
  { states }: ZfsVolume,
  state: VolumeState,
): VolumeState | undefined {
  for (let at = states.indexOf(state); at >= 0; at--) {
    const present = states[at];
    if (present !== undefined && isClean(present)) return present;
    if (present?.written !== 0) return undefined;
  }
  return undefined;
}

/** Whether it is such a snapshot of qubesd. */
export function isClean({ name }: VolumeState): boolean {
  return name.split('@')[1]?.startsWith(CLEAN) === true;
}
