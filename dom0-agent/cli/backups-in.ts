import {
  DamagedError,
  FailedError,
  RefusedError,
  StorageError,
  WrongPassphraseError,
} from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { identifyArchive } from '../archive/identify-archive.ts';
import { openArchive } from '../archive/open-archive.ts';
import { timeOfBackupName } from '../backup/new-backup-file.ts';
import { readContents } from '../contents/read-contents.ts';
import type { BackupContents } from '../qubes/backup-contents.ts';
import type { ListedEntry, Listing, Source, Storage } from '../transport/storage.ts';

/** So many files of a directory are opened: each is a call of the storage VM, and may be a key derivation. */
const MOST_OPENED = 100;
/** A VM may be slow with each of them: after so many milliseconds, no further one is opened. */
const TIME_TO_OPEN = 600_000;
/** Longer names and ids are cut where they are shown. */
const LONGEST_NAME = 100;

/** A backup as listed in a directory. What is not in `contents` is a claim of the storage. */
export interface FoundBackup {
  /** Fit to be shown. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** From its name, unless `contents` has it. */
  readonly created: Date | undefined;
  readonly format: string | undefined;
  readonly backupId: string | undefined;
  /** Authenticated; undefined without the passphrase. */
  readonly contents: BackupContents | undefined;
  /** Why not more is known of it, in words. */
  readonly problem: string | undefined;
}

/** What of a file is known once it has been looked at. */
type Found = Pick<FoundBackup, 'format' | 'backupId' | 'contents' | 'problem'>;

const NOTHING: Found = {
  format: undefined,
  backupId: undefined,
  contents: undefined,
  problem: undefined,
};

/** Of two files, the one that is newer by its name comes first; files without a time come last. */
function byNameNewestFirst(one: ListedEntry, other: ListedEntry): number {
  return timeOf(other.untrustedName) - timeOf(one.untrustedName);
}

function timeOf(untrustedName: string): number {
  return timeOfBackupName(untrustedName)?.getTime() ?? -Infinity;
}

/**
 * The backups in a directory, newest first, and the names of its other files, fit to be shown. A file with the name
 * of a backup is listed whatever it is, one with another name when it begins as a backup does.
 *
 * @param passphrase for `contents`
 */
export async function backupsIn(
  storage: Storage,
  { entries }: Listing,
  directory: string,
  passphrase: Buffer | undefined,
  signal: AbortSignal,
): Promise<{ backups: FoundBackup[]; others: string[] }> {
  const files = entries.filter(({ kind }) => kind === 'FILE').toSorted(byNameNewestFirst);
  const backups: FoundBackup[] = [];
  const others: string[] = [];
  const deadline = performance.now() + TIME_TO_OPEN;
  for (const [index, { untrustedName, size }] of files.entries()) {
    signal.throwIfAborted();
    const byName = timeOfBackupName(untrustedName.replace(/\.partial$/, ''));
    const isOpened = index < MOST_OPENED && performance.now() < deadline;
    const found = untrustedName.endsWith('.partial')
      ? { ...NOTHING, problem: 'unfinished' }
      : isOpened
        ? await lookInto(storage, `${directory}/${untrustedName}`, passphrase, signal)
        : { ...NOTHING, problem: `not opened: no more than ${MOST_OPENED} are` };
    const name = printable(untrustedName, LONGEST_NAME);
    if (byName === undefined && found.format === undefined) others.push(name);
    else backups.push({ ...found, name, size, created: found.contents?.created ?? byName });
  }
  return { backups: backups.sort(newestFirst), others };
}

function newestFirst({ created: one }: FoundBackup, { created: other }: FoundBackup): number {
  return (other?.getTime() ?? 0) - (one?.getTime() ?? 0);
}

async function lookInto(
  storage: Storage,
  untrustedFile: string,
  passphrase: Buffer | undefined,
  signal: AbortSignal,
): Promise<Found> {
  try {
    await using source = await storage.openSource({ file: untrustedFile }, signal);
    const identity = await identifyArchive(source);
    if (identity === undefined) return { ...NOTHING, problem: 'not a backup' };
    const { untrustedFormat, untrustedBackupId } = identity;
    const found = {
      ...NOTHING,
      format: printable(untrustedFormat, LONGEST_NAME),
      backupId: untrustedBackupId && printable(untrustedBackupId, LONGEST_NAME),
    };
    if (passphrase === undefined) return found;
    return { ...found, ...(await contentsOf(source, passphrase, signal)) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof RefusedError || error instanceof StorageError) {
      return { ...NOTHING, problem: `cannot be read: ${error.message}` };
    }
    throw error;
  }
}

async function contentsOf(
  source: Source,
  passphrase: Buffer,
  signal: AbortSignal,
): Promise<Pick<Found, 'contents' | 'problem'>> {
  // It is wiped by who opens it.
  const copy = Buffer.from(passphrase);
  try {
    const reader = await openArchive(source, copy, signal);
    return { contents: readContents(await reader.qubesXml(), reader.header), problem: undefined };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof WrongPassphraseError) {
      return {
        contents: undefined,
        problem: 'it has another passphrase, or its header is damaged',
      };
    }
    if (error instanceof DamagedError || error instanceof FailedError) {
      return { contents: undefined, problem: error.message };
    }
    throw error;
  } finally {
    copy.fill(0);
  }
}
