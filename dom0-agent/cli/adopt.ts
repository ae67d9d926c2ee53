import { ExitStatus } from '../../shared/errors.ts';
import { formatTime } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import { formatSize } from '../../shared/sizes.ts';
import { seriesCard } from '../backup/series-card.ts';
import type { SeriesFile, SeriesState } from '../backup/series-state.ts';
import { SeriesStore } from '../backup/series-store.ts';
import type { Listing } from '../transport/storage.ts';
import { countOf } from './count-of.ts';
import { type Adopted, adoptDirectory } from './adopt-directory.ts';
import type { ArchiveFlags } from './archive-options.ts';
import { CommandReport } from './command-report.ts';
import { aboutField } from './error-field.ts';
import { openSystem } from './open-system.ts';
import { askPassphrase } from './questions.ts';

/** The options of `coffer adopt`, as commander gives them. */
export type AdoptFlags = Omit<ArchiveFlags, 'command' | 'compressionFilter'>;

/** `coffer adopt`. Returns the exit status. */
export async function adoptCommand(
  directory: string,
  flags: AdoptFlags,
  signal: AbortSignal,
): Promise<number> {
  using report = new CommandReport(flags);
  const opened = await openSystem(flags.system, (text) => report.info(text));
  const storage = await aboutField('dest-vm', () => opened.storage(flags));
  const passphrase = await askPassphrase(flags.passphraseFile, signal);
  const look = (): Promise<Listing> => storage.browse(directory, signal);
  const { path } = await aboutField('location', look);
  const location = `${storage.owner}:${path}`;
  await using files = await storage.openFiles(directory, signal);
  const store = new SeriesStore(opened.seriesDirectory, (text) => report.warning(text));
  const action = async (): Promise<number> => {
    const place = { files, listing: await look(), location };
    return reportAdopted(await adoptDirectory(store, place, passphrase, signal), location, report);
  };
  const onWait = (): void => report.info(`waiting for a backup to ${location}`);
  return await store.whileLocked(location, action, { onWait, signal });
}

function reportAdopted(
  adopted: readonly Adopted[],
  location: string,
  report: CommandReport,
): number {
  for (const { state, damaged, knewUpTo } of adopted) {
    for (const { fileName, why } of damaged) {
      report.warning(`${printable(fileName)} in ${location} cannot be continued: ${why}`);
    }
    const newest = state.files.at(-1)?.sequence ?? 0;
    if (newest >= knewUpTo) continue;
    report.warning(
      `dom0 knows number ${knewUpTo} of the series, but the newest in ${location} is number ${newest}: the storage may ` +
        'have been rolled back to an older state',
    );
  }
  const usable = adopted.filter(({ state }) => state.files.length > 0);
  for (const each of usable) report.say(describe(each, location));
  const isNew = adopted.some(({ adopted: files }) => files.length > 0);
  const reads = isNew ? ': it reads everything once, and stores what has changed' : '';
  report.say(`The next backup there continues from them${reads}.`);
  report.result({
    ...{ ok: true, command: 'adopt', location },
    series: usable.map(({ state, adopted: files, damaged }) => ({
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

function describe({ state, adopted, damaged }: Adopted, location: string): string {
  const backups = backupsIn(state);
  const bytes = state.files.reduce((sum, file) => sum + file.bytes, 0);
  const count = countOf(backups.length, 'backup');
  const added = countOf(adopted.length, 'file');
  const news =
    adopted.length === 0
      ? `dom0 already knew all of them${damaged.length === 0 ? '' : ' that can be used'}`
      : `dom0 did not know ${added}, but does now`;
  const last = newestBackup(state);
  const time = last === undefined ? '' : `, the last one made on ${formatTime(dateOf(last))}`;
  return (
    `A series of ${count} in ${location}, ${formatSize(bytes)}${time}: ${news}.\n` +
    `Keep this with the passphrase: ${cardOf(state)}`
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

/** With the number of the newest backup: packs and data have numbers, too, but cannot be restored from. */
function cardOf(state: SeriesState): string {
  const { head, last, files } = state;
  const newest = newestBackup(state);
  const made = dateOf(newest ?? files.at(-1));
  return seriesCard({ seriesId: head.seriesId, ...(newest ?? last), made });
}
