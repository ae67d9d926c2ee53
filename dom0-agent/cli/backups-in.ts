import {
  DamagedError,
  FailedError,
  RefusedError,
  StorageError,
  WrongPassphraseError,
} from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { InSeries } from '../archive/archive.ts';
import { SeriesKeys } from '../archive/coffer1/series-keys.ts';
import { type UntrustedIdentity, identifyArchive } from '../archive/identify-archive.ts';
import { openArchive } from '../archive/open-archive.ts';
import { headOf } from '../archive/read-header.ts';
import { timeOfBackupName } from '../backup/new-backup-file.ts';
import { ownerOf } from '../contents/damage.ts';
import { readContents } from '../contents/read-contents.ts';
import type { BackupContents } from '../qubes/backup-contents.ts';
import type { Listing, Storage, StoredFiles } from '../transport/storage.ts';
import { byNameNewestFirst, siblingsIn } from './siblings.ts';

/** So many keys are derived, of a second each: one for each series, and for each backup in another format. */
const MOST_DERIVATIONS = 50;
/** A VM may be slow with each file: after so many milliseconds, no further one is opened. */
const TIME_TO_OPEN = 600_000;
/** Longer names and ids are cut where they are shown. */
const LONGEST_NAME = 100;

/** A backup as listed in a directory. What is not in `contents` or `inSeries` is a claim of the storage. */
export interface FoundBackup {
  readonly untrustedName: string;
  /** Fit to be shown. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** From its name, unless `contents` has it. */
  readonly created: Date | undefined;
  readonly format: string | undefined;
  readonly backupId: string | undefined;
  /** Authenticated; undefined without the passphrase, or when it is no backup by itself. */
  readonly contents: BackupContents | undefined;
  readonly inSeries: InSeries | undefined;
  /** The VMs of which something is lost, since other files are. */
  readonly lost: readonly string[];
  /** `data` and `pack` are no backups by themselves: they hold what others need. */
  readonly kind: 'backup' | 'data' | 'pack' | 'unfinished';
  /** Why not more is known of it, in words. */
  readonly problem: string | undefined;
}

/** What of a file is known once it has been looked at. */
type Found = Omit<FoundBackup, 'untrustedName' | 'name' | 'size' | 'created'>;

const NOTHING: Found = {
  ...{ format: undefined, backupId: undefined, contents: undefined, inSeries: undefined },
  ...{ lost: [], kind: 'backup', problem: undefined },
};

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
  keys = new SeriesKeys(),
): Promise<{ backups: FoundBackup[]; others: string[] }> {
  const files = entries.filter(({ kind }) => kind === 'FILE').toSorted(byNameNewestFirst);
  await using looking = new Looking(storage, directory, passphrase, signal, keys);
  const backups: FoundBackup[] = [];
  const others: string[] = [];
  const deadline = performance.now() + TIME_TO_OPEN;
  for (const { untrustedName, size } of files) {
    signal.throwIfAborted();
    const byName = timeOfBackupName(untrustedName.replace(/\.partial$/, ''));
    const found: Found = untrustedName.endsWith('.partial')
      ? { ...NOTHING, kind: 'unfinished', problem: 'unfinished' }
      : performance.now() < deadline
        ? await looking.into(untrustedName)
        : { ...NOTHING, problem: 'not opened: the others took too long' };
    const name = printable(untrustedName, LONGEST_NAME);
    const created = found.contents?.created ?? byName;
    if (byName === undefined && found.format === undefined) others.push(name);
    else backups.push({ ...found, untrustedName, name, size, created });
  }
  const present = new Set(backups.map(({ backupId }) => backupId));
  return { backups: await withLost(backups, present), others };
}

/** The VMs of which something is lost are looked for only where a file is missing. */
async function withLost(
  backups: readonly FoundBackup[],
  present: ReadonlySet<string | undefined>,
): Promise<FoundBackup[]> {
  const held = new Map<string, ReadonlySet<string>>();
  const found: FoundBackup[] = [];
  for (const backup of backups) {
    const absent = backup.inSeries?.needs.filter((backupId) => !present.has(backupId)) ?? [];
    const isWhole = absent.length === 0;
    const lost = isWhole ? [] : await lostWith(absent, backup, held).catch(nothingKnown);
    found.push({ ...backup, lost });
  }
  return found.sort(newestFirst);
}

/**
 * The VMs of a backup that lie in part in files that are gone, and in no pack.
 *
 * @param held what packs hold, by the ids of series: it is filled
 */
async function lostWith(
  absent: readonly string[],
  { inSeries, contents }: FoundBackup,
  held: Map<string, ReadonlySet<string>>,
): Promise<string[]> {
  if (inSeries === undefined || contents === undefined) return [];
  const inPacks = held.get(inSeries.seriesId) ?? (await inSeries.heldByPacks());
  held.set(inSeries.seriesId, inPacks);
  const missing = new Set(absent.filter((backupId) => !inPacks.has(backupId)));
  const paths = missing.size === 0 ? [] : await inSeries.volumesIn(missing);
  const names = paths.map((path) => ownerOf(path, contents));
  return [...new Set(names)].filter((name) => name !== undefined);
}

/** What cannot be read now is told by verify. */
function nothingKnown(error: unknown): string[] {
  if (error instanceof DamagedError || error instanceof StorageError) return [];
  throw error;
}

/** Within one second, by their numbers in their series. */
function newestFirst(one: FoundBackup, other: FoundBackup): number {
  const seconds = (other.created?.getTime() ?? 0) - (one.created?.getTime() ?? 0);
  return seconds || (other.inSeries?.sequence ?? 0) - (one.inSeries?.sequence ?? 0);
}

/** Looks into files of a directory, which is opened once, and again when that breaks. */
class Looking implements AsyncDisposable {
  readonly #storage: Storage;
  readonly #directory: string;
  readonly #passphrase: Buffer | undefined;
  readonly #signal: AbortSignal;
  readonly #keys: SeriesKeys;
  #files: StoredFiles | undefined;
  /** Of backups that are of no series. */
  #derivations = 0;

  constructor(
    storage: Storage,
    directory: string,
    passphrase: Buffer | undefined,
    signal: AbortSignal,
    keys: SeriesKeys,
  ) {
    this.#storage = storage;
    this.#directory = directory;
    this.#passphrase = passphrase;
    this.#signal = signal;
    this.#keys = keys;
  }

  async into(untrustedName: string): Promise<Found> {
    try {
      this.#files ??= await this.#storage.openFiles(this.#directory, this.#signal);
      return await this.#look(this.#files, untrustedName);
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!(error instanceof RefusedError || error instanceof StorageError)) throw error;
      if (error instanceof StorageError) await this[Symbol.asyncDispose]();
      return { ...NOTHING, problem: `cannot be read: ${error.message}` };
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const files = this.#files;
    this.#files = undefined;
    await files?.[Symbol.asyncDispose]();
  }

  async #look(files: StoredFiles, untrustedName: string): Promise<Found> {
    const file = await files.open(untrustedName);
    const identity = await identifyArchive(headOf(file));
    if (identity === undefined) return { ...NOTHING, problem: 'not a backup' };
    const found = foundBy(identity);
    if (this.#passphrase === undefined || found.problem !== undefined) return found;
    if (this.#keys.derivations + this.#derivations >= MOST_DERIVATIONS) {
      return { ...found, problem: `not opened: coffer derives at most ${MOST_DERIVATIONS} keys` };
    }
    if (found.format !== 'coffer-1') this.#derivations++;
    // It is wiped by who opens it.
    const copy = Buffer.from(this.#passphrase);
    try {
      const siblings = siblingsIn(files, this.#storage, this.#directory, this.#signal);
      const options = { siblings, keys: this.#keys };
      const reader = await openArchive(file, copy, this.#signal, options);
      const contents = readContents(await reader.qubesXml(), reader.header);
      return { ...found, contents, inSeries: reader.inSeries };
    } catch (error) {
      this.#signal.throwIfAborted();
      return { ...found, problem: problemOf(error) };
    } finally {
      copy.fill(0);
    }
  }
}

function foundBy({ untrustedFormat, untrustedBackupId, untrustedKind }: UntrustedIdentity): Found {
  const kind = untrustedKind === 'data' || untrustedKind === 'pack' ? untrustedKind : 'backup';
  return {
    ...NOTHING,
    format: printable(untrustedFormat, LONGEST_NAME),
    backupId: untrustedBackupId && printable(untrustedBackupId, LONGEST_NAME),
    kind,
    problem: kind === 'backup' ? undefined : 'not a backup itself: it holds data of others',
  };
}

/** Why a backup cannot be opened. Throws an error that is about something else. */
function problemOf(error: unknown): string {
  if (error instanceof WrongPassphraseError) {
    return 'it has another passphrase, or its header is damaged';
  }
  if (error instanceof DamagedError || error instanceof FailedError) return error.message;
  throw error;
}
