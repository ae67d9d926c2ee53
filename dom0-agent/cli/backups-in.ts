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

/** How many keys are derived, which takes a second each: one for each series, and for each backup in another format. */
const MOST_DERIVATIONS = 50;
/** After this time, in ms, no further file is opened: a VM may be slow with each of them. */
const TIME_TO_OPEN = 600_000;
/** Longer names and ids are cut where they are shown. */
const LONGEST_NAME = 100;

/** A backup in a directory. Only `contents` and `inSeries` are authenticated; the storage claims the rest. */
export interface FoundBackup {
  readonly untrustedName: string;
  /** Printable. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** From `contents`, or else from its name. */
  readonly created: Date | undefined;
  readonly format: string | undefined;
  readonly backupId: string | undefined;
  /** Authenticated; undefined without the passphrase, or if it is not a backup by itself. */
  readonly contents: BackupContents | undefined;
  readonly inSeries: InSeries | undefined;
  /** The names of VMs that are partly lost, because other files are missing. */
  readonly lost: readonly string[];
  /** `data` and `pack` are not backups by themselves: they hold data that backups need. */
  readonly kind: 'backup' | 'data' | 'pack' | 'unfinished';
  /** Whether its format is known, but the passphrase does not open it. */
  readonly isLocked: boolean;
  /** Whether it cannot be opened because it is damaged or cut short. */
  readonly isDamaged: boolean;
  /** Why it was not opened, for people. */
  readonly problem: string | undefined;
}

/** What is known about a file once it has been looked at. */
type Found = Omit<FoundBackup, 'untrustedName' | 'name' | 'size' | 'created'>;

const NOTHING: Found = {
  ...{ format: undefined, backupId: undefined, contents: undefined, inSeries: undefined },
  ...{ lost: [], kind: 'backup', isLocked: false, isDamaged: false, problem: undefined },
};

/**
 * The backups in a directory, newest first, and the printable names of its other files. A file with the name of a
 * backup is always listed, one with another name if it begins like a backup.
 *
 * @param passphrase to read `contents`
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
  // From one that cannot be opened, nothing can be restored.
  const usable = backups.filter(({ isDamaged }) => !isDamaged);
  const present = new Set(usable.map(({ backupId }) => backupId));
  return { backups: await withLost(backups, present), others };
}

/** Adds the VMs that are partly lost; they are only looked for where a file is missing or cannot be opened. */
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
  return newestFirst(found);
}

/**
 * The VMs of a backup that need files which are missing, and whose parts are in no pack.
 *
 * @param held the ids of files of which packs hold parts, by the ids of series: a cache, which is filled here
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

/** Nothing is reported as lost if it cannot be read now: verify will say so. */
function nothingKnown(error: unknown): string[] {
  if (error instanceof DamagedError || error instanceof StorageError) return [];
  throw error;
}

/** By time, but those of a series by their numbers: the clock may have been wrong when one of them was made. */
function newestFirst(backups: readonly FoundBackup[]): FoundBackup[] {
  const timeOf = ({ created }: FoundBackup): number => created?.getTime() ?? 0;
  const byTime = backups.toSorted((one, other) => timeOf(other) - timeOf(one));
  const numberOf = ({ inSeries }: FoundBackup): number => inSeries?.sequence ?? 0;
  const byNumber = byTime.toSorted((one, other) => numberOf(other) - numberOf(one));
  const ofEach = new Map<string | undefined, FoundBackup[]>();
  for (const backup of byNumber) {
    const others = ofEach.get(backup.inSeries?.seriesId);
    if (others === undefined) ofEach.set(backup.inSeries?.seriesId, [backup]);
    else others.push(backup);
  }
  return byTime.map((backup) => ofEach.get(backup.inSeries?.seriesId)?.shift() ?? backup);
}

/** Looks into files of a directory, which is opened once, and again if the connection breaks. */
class Looking implements AsyncDisposable {
  readonly #storage: Storage;
  readonly #directory: string;
  readonly #passphrase: Buffer | undefined;
  readonly #signal: AbortSignal;
  readonly #keys: SeriesKeys;
  #files: StoredFiles | undefined;
  /** How many keys were derived for backups that are in no series. */
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

  /** Opens a file, and reads what is in it if there is a passphrase. A file that cannot be read gives a `problem`. */
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
    // openArchive wipes what it is given.
    const copy = Buffer.from(this.#passphrase);
    try {
      const siblings = siblingsIn(files, () => this.#storage.browse(this.#directory, this.#signal));
      const options = { siblings, keys: this.#keys };
      const reader = await openArchive(file, copy, this.#signal, options);
      const contents = readContents(await reader.qubesXml(), reader.header);
      return { ...found, contents, inSeries: reader.inSeries };
    } catch (error) {
      this.#signal.throwIfAborted();
      const isLocked = error instanceof WrongPassphraseError;
      const isDamaged = error instanceof DamagedError;
      return { ...found, isLocked, isDamaged, problem: problemOf(error) };
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

/** Why a backup cannot be opened. Throws any other error. */
function problemOf(error: unknown): string {
  if (error instanceof WrongPassphraseError) {
    return 'it has another passphrase, or its header is damaged';
  }
  if (error instanceof DamagedError || error instanceof FailedError) return error.message;
  throw error;
}
