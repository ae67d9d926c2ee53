import {
  type CofferError,
  DamagedError,
  RefusedError,
  WrongPassphraseError,
} from '../../shared/errors.ts';
import { formatTime, timeInName } from '../../shared/local-time.ts';
import type { Report } from '../../shared/report.ts';
import { SeriesKeys } from '../archive/coffer1/series-keys.ts';
import { fileIn } from '../transport/location.ts';
import type { Listing } from '../transport/storage.ts';
import { isRefusal } from '../transport/storage-errors.ts';
import type { ArchiveFlags } from './archive-options.ts';
import { type FoundBackup, backupsIn } from './backups-in.ts';
import { warnOfNewer } from './known-files.ts';
import { type OpenedBackup, openBackup } from './open-backup.ts';
import type { OpenedSystem } from './open-system.ts';
import { askPassphrase } from './questions.ts';

/** How a backup is chosen, besides its location. */
export interface ChoiceFlags extends ArchiveFlags {
  /** The smallest number that it may have in its series: an older one is refused. */
  readonly atLeast?: number;
}

/** `DIR@2026-11-25`, also with a time: `DIR@2026-11-25T18:29`. */
const WITH_DATE = /^(.+)@([0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9:]{2,8})?)$/;
/** How many dates are listed if there is no backup of the requested one. */
const MOST_TOLD = 10;

/**
 * Opens the backup that LOCATION names: a file, the newest one in a directory, or that of a date. Throws
 * WrongPassphraseError or DamagedError if none of its backups can be opened, RefusedError when there is none, or if it is
 * older than `--at-least` allows, and what `openBackup` throws.
 */
export async function openChosenBackup(
  opened: OpenedSystem,
  location: string,
  flags: ChoiceFlags,
  report: Report,
  signal: AbortSignal,
): Promise<OpenedBackup> {
  let given: Buffer | undefined;
  // A copy, because opening an archive wipes the passphrase.
  const ask = async (): Promise<Buffer> =>
    Buffer.from((given ??= await askPassphrase(flags.passphraseFile, signal)));
  const keys = new SeriesKeys();
  const open = (file: string, listing?: Listing) =>
    openBackup(opened, file, flags, report, signal, ask, { keys, listing });
  try {
    const [, dated, date] = WITH_DATE.exec(location) ?? [];
    const backup = await open(location).catch(async (error: unknown) => {
      // Behind a command it is unknown whether there is a directory with a date in its name: take it as DIR@DATE.
      const isDated = flags.through !== undefined && dated !== undefined;
      const isDirectory = !isDated && isRefusal(error, 'NOT_A_FILE');
      const isMeant = isDated || (dated !== undefined && isRefusal(error, 'NOT_FOUND'));
      if (!isDirectory && !isMeant) throw error;
      const directory = isDirectory ? location : (dated ?? location);
      const storage = await opened.storage(flags);
      const listing = await storage.browse(directory, signal);
      const passphrase = await ask();
      const reading = backupsIn(storage, listing, directory, passphrase, signal, keys);
      const { backups } = await reading.finally(() => passphrase.fill(0));
      const where = `${storage.owner}:${listing.path}`;
      const found = choose(backups, isDirectory ? undefined : date, where, report);
      const newest = await open(fileIn(directory, found.untrustedName), listing);
      if (isDirectory) await warnOfNewer(opened, newest.reader.inSeries, where, report);
      return newest;
    });
    await requireAtLeast(backup, flags.atLeast);
    return backup;
  } finally {
    given?.fill(0);
  }
}

function choose(
  backups: readonly FoundBackup[],
  date: string | undefined,
  location: string,
  report: Report,
): FoundBackup {
  const usable = backups.filter(({ contents }) => contents !== undefined);
  const meant = date?.replaceAll(':', '') ?? '';
  const found = usable.find(
    ({ created }) => created !== undefined && timeInName(created).startsWith(meant),
  );
  if (usable.length === 0) throw noneOpened(location, backups);
  if (found === undefined) throw new RefusedError(noneOf(date, usable, location));
  if (date !== undefined) return found;
  for (const { name, created, contents, kind, problem } of backups) {
    const isNewer = (created ?? new Date(0)) > (found.created ?? new Date(0));
    if (contents !== undefined || kind !== 'backup' || !isNewer) continue;
    report.warning(`${name} may be newer than ${found.name}: ${problem ?? 'it was not opened'}`);
  }
  return found;
}

/** Why none of the files in a directory can be used. */
function noneOpened(location: string, all: readonly FoundBackup[]): CofferError {
  const locked = all.find(({ isLocked }) => isLocked);
  const damaged = all.find(({ format, kind }) => format !== undefined && kind === 'backup');
  const first = locked ?? damaged ?? all.find(({ problem }) => problem !== undefined);
  const why = first === undefined ? '' : ` (${first.name}: ${first.problem ?? ''})`;
  const sentence = `${location} contains no backup that can be opened with this passphrase${why}`;
  if (locked !== undefined) return new WrongPassphraseError(sentence);
  return damaged === undefined ? new RefusedError(sentence) : new DamagedError(sentence);
}

function noneOf(
  date: string | undefined,
  usable: readonly FoundBackup[],
  location: string,
): string {
  const dates = usable.flatMap(({ created }) =>
    created === undefined ? [] : [formatTime(created)],
  );
  const told = dates.slice(0, MOST_TOLD).join(', ');
  const more = dates.length > MOST_TOLD ? ', and older ones' : '';
  return `there is no backup of ${date ?? 'any date'} in ${location}, only of ${told}${more}`;
}

/** The storage can present an old state of everything: only the user can know that there was a later one. */
async function requireAtLeast(backup: OpenedBackup, least: number | undefined): Promise<void> {
  if (least === undefined) return;
  const sequence = backup.reader.inSeries?.sequence;
  if (sequence !== undefined && sequence >= least) return;
  await backup[Symbol.asyncDispose]();
  const what =
    sequence === undefined
      ? 'this backup has no number in a series'
      : `this backup is number ${sequence} of its series`;
  throw new RefusedError(
    `${what}, but you asked for at least ${least}: the storage may have been rolled back to an older state`,
  );
}
