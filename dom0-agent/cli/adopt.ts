import { DamagedError, ExitStatus } from '../../shared/errors.ts';
import type { OpenedDirectory } from '../../shared/byte-streams.ts';
import { formatTime } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import { MiB, formatSize } from '../../shared/sizes.ts';
import { wholeOf } from '../archive/coffer1/small-files.ts';
import { type FoundSeries, openEachSeries } from '../archive/coffer1/whole-series.ts';
import { type Adoption, adoptFiles } from '../backup/adopt-files.ts';
import { seriesCard } from '../backup/series-card.ts';
import type { SeriesFile, SeriesState } from '../backup/series-state.ts';
import { SeriesStore } from '../backup/series-store.ts';
import { isForgetList, listedIds } from '../forget/forget-list.ts';
import type { Listing } from '../transport/storage.ts';
import type { ArchiveFlags } from './archive-options.ts';
import { CommandReport } from './command-report.ts';
import { aboutField } from './error-field.ts';
import { openSystem } from './open-system.ts';
import { askPassphrase } from './questions.ts';
import { byNameNewestFirst } from './siblings.ts';

/** The options of `coffer adopt`, as commander gives them. */
export type AdoptFlags = Omit<ArchiveFlags, 'command' | 'compressionFilter'>;

/** No list of what may go is longer. */
const LONGEST_LIST = 16 * MiB;

/** `coffer adopt`. Gives the exit status. */
export async function adoptCommand(
  directory: string,
  flags: AdoptFlags,
  signal: AbortSignal,
): Promise<number> {
  using report = new CommandReport(flags);
  const opened = await openSystem(flags.system, (text) => report.info(text));
  const storage = await aboutField('dest-vm', () => opened.storage(flags.destVm));
  const passphrase = await askPassphrase(flags.passphraseFile, signal);
  const look = (): Promise<Listing> => storage.browse(directory, signal);
  const { path } = await aboutField('location', look);
  const location = `${storage.owner}:${path}`;
  await using files = await storage.openFiles(directory, signal);
  const store = new SeriesStore(opened.seriesDirectory, (text) => report.warning(text));
  const action = async (): Promise<number> => {
    const names = namesIn(await look());
    const found = await openEachSeries(files, names, passphrase, signal);
    const adopted: Adopted[] = [];
    for (const series of found) {
      const givenUp = await givenUpIn(files, names, series);
      adopted.push(await adopt(store, series, givenUp, location));
    }
    return reportAdopted(adopted, location, report);
  };
  const onWait = (): void => report.info(`waiting for a backup to ${location}`);
  return await store.whileLocked(location, action, { onWait, signal });
}

/** What dom0 knows of a series now. */
interface Adopted extends Adoption {
  /** The highest number that it knew before; 0 when it did not know the series. */
  readonly knewUpTo: number;
}

/** @param givenUp ids of files that will be deleted */
async function adopt(
  store: SeriesStore,
  series: FoundSeries,
  givenUp: ReadonlySet<string>,
  place: string,
): Promise<Adopted> {
  const { seriesId } = series.head;
  const known = (await store.all()).find((state) => state.head.seriesId === seriesId);
  const ids = new Set(known?.files.map(({ backupId }) => backupId));
  const unknown = series.files.filter(
    ({ file }) => !ids.has(file.backupId) && !givenUp.has(file.backupId),
  );
  // What is newer says what the passphrase is; otherwise it may have been changed here since.
  const isNewer = unknown.some(({ file }) => file.manifest.sequence > (known?.last.sequence ?? 0));
  const head = known === undefined || isNewer ? series.head : known.head;
  const before = { ...(known ?? unknownSeries(series)), head, place };
  const adoption = await adoptFiles(store, before, unknown);
  if (adoption.adopted.length === 0) {
    if (known === undefined) throw new DamagedError(`no backup in ${place} is whole`);
    await store.save(before);
  }
  const damaged = [
    ...series.damaged.map(({ untrustedName, why }) => ({ fileName: untrustedName, why })),
    ...adoption.damaged,
  ];
  return { ...adoption, damaged, knewUpTo: known?.last.sequence ?? 0 };
}

/** What is known before a file is. */
function unknownSeries({ head, files }: FoundSeries): SeriesState {
  const header = files.at(-1)?.file.opened.header;
  return {
    ...{ head, place: '', dedup: 'domain', encrypted: header?.encrypted ?? true },
    ...{ compressionFilter: header?.compressionFilter, files: [], maps: new Map() },
    last: { backupId: '', mac: '', sequence: 0 },
  };
}

/** Files that are there, and on a signed list of what may go: nothing may refer to them any more. */
async function givenUpIn(
  directory: OpenedDirectory,
  untrustedNames: readonly string[],
  series: FoundSeries,
): Promise<ReadonlySet<string>> {
  const ids = new Set<string>();
  for (const untrustedName of untrustedNames.filter(isForgetList)) {
    const file = await directory.open(untrustedName);
    if (file.size > LONGEST_LIST) continue;
    const untrustedList = await wholeOf(file.read(), LONGEST_LIST, untrustedName);
    for (const id of listedIds(untrustedList, series) ?? []) ids.add(id);
  }
  return ids;
}

function namesIn({ entries }: Listing): string[] {
  return entries
    .filter(({ kind }) => kind === 'FILE')
    .toSorted(byNameNewestFirst)
    .map(({ untrustedName }) => untrustedName);
}

function reportAdopted(
  adopted: readonly Adopted[],
  location: string,
  report: CommandReport,
): number {
  for (const { state, damaged, knewUpTo } of adopted) {
    for (const { fileName, why } of damaged) {
      report.warning(`${printable(fileName)} in ${location} is not gone on from: ${why}`);
    }
    const newest = state.files.at(-1)?.sequence ?? 0;
    if (newest >= knewUpTo) continue;
    report.warning(
      `dom0 knows of number ${knewUpTo} of the series, and ${location} has none after ${newest}: the storage may have ` +
        'been put back to an older state',
    );
  }
  for (const each of adopted) report.say(describe(each, location));
  report.say(
    'The next backup there goes on from them: it reads everything once, and stores what changed.',
  );
  report.result({
    ...{ ok: true, command: 'adopt', location },
    series: adopted.map(({ state, adopted: files, damaged }) => ({
      series: state.head.seriesId,
      sequence: state.last.sequence,
      created: newestBackup(state) && dateOf(newestBackup(state)).toISOString(),
      backups: backupsIn(state).length,
      adopted: files.map(({ fileName }) => printable(fileName)),
      damaged: damaged.map(({ fileName }) => printable(fileName)),
      card: cardOf(state),
    })),
    warnings: report.warnings,
  });
  return ExitStatus.done;
}

function describe({ state, adopted }: Adopted, location: string): string {
  const backups = backupsIn(state);
  const bytes = state.files.reduce((sum, file) => sum + file.bytes, 0);
  const count = backups.length === 1 ? '1 backup' : `${backups.length} backups`;
  const added = adopted.length === 1 ? '1 file' : `${adopted.length} files`;
  const news =
    adopted.length === 0 ? 'dom0 knew of all' : `dom0 did not know of ${added}, and does now`;
  const last = newestBackup(state);
  const time = last === undefined ? '' : `, the last of ${formatTime(dateOf(last))}`;
  return (
    `A series of ${count} in ${location}, ${formatSize(bytes)}${time}: ${news}.\n` +
    `To keep with the passphrase: ${cardOf(state)}`
  );
}

function backupsIn({ files }: SeriesState): SeriesFile[] {
  return files.filter(({ kind }) => kind === 'backup');
}

function newestBackup(state: SeriesState): SeriesFile | undefined {
  return backupsIn(state).at(-1);
}

function dateOf(file: SeriesFile | undefined): Date {
  return new Date(1000 * (file?.made ?? 0));
}

function cardOf({ head, last, files }: SeriesState): string {
  const newest = files.findLast(({ backupId }) => backupId === last.backupId);
  return seriesCard({ seriesId: head.seriesId, ...last, made: dateOf(newest ?? files.at(-1)) });
}
