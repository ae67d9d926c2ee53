import { ExitStatus } from '../../shared/errors.ts';
import { formatMinute } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { BackupCheck } from '../backup/backup-record.ts';
import { seriesCard } from '../backup/series-card.ts';
import type { SeriesState } from '../backup/series-state.ts';
import { type BackupContents, dom0Trees, sizeOfDom0 } from '../qubes/backup-contents.ts';
import type { Storage } from '../transport/storage.ts';
import { type FoundBackup, backupsIn } from './backups-in.ts';
import { checkForPrograms, checksIn, newerThan } from './known-files.ts';
import type { CommandReport } from './command-report.ts';
import { countOf } from './count-of.ts';
import { storedFor } from './stored-for.ts';
import { formatTable } from './table.ts';

/**
 * `coffer list` of a directory. Returns the exit status.
 *
 * @param known the series that dom0 knows
 * @param ask asks for the passphrase, which is wiped; if it returns undefined, the backups are not opened
 */
export async function listBackups(
  storage: Storage,
  directory: string,
  ask: () => Promise<Buffer | undefined>,
  known: readonly SeriesState[],
  report: CommandReport,
  signal: AbortSignal,
): Promise<number> {
  const listing = await storage.browse(directory, signal);
  const passphrase = await ask();
  const isOpened = passphrase !== undefined;
  const reading = backupsIn(storage, listing, directory, passphrase, signal);
  const { backups, others } = await reading.finally(() => passphrase?.fill(0));
  const location = `${storage.owner}:${listing.path}`;
  const checks = checksIn(location, known);
  const { freeBytes } = listing.space;
  const free = freeBytes === undefined ? '' : ` (${formatSize(freeBytes)} free there)`;
  const holders = backups.filter(({ kind }) => kind === 'data' || kind === 'pack');
  const shown = backups.filter((backup) => !holders.includes(backup));
  report.say(`${countOf(shown.length, 'backup')} in ${location}${free}${withData(holders, shown)}`);
  const stored = storedFor(backups);
  if (shown.length > 0) {
    report.say(formatBackups(shown, isOpened, checks, stored));
    report.say(describeCheck(shown));
  }
  const present = new Set(backups.map(({ backupId }) => backupId));
  const ofEach = newestOfEach(backups);
  for (const newest of ofEach) {
    const whose = ofEach.length === 1 ? '' : ' of its series';
    report.say(`The newest backup${whose}: ${seriesCard(newest)}`);
    const state = known.find(({ head }) => head.seriesId === newest.seriesId);
    if (state === undefined || listing.truncated) continue;
    const absent = state.files.filter(({ backupId }) => !present.has(backupId));
    const newer = newerThan(newest.sequence, location, { ...state, files: absent });
    if (newer !== undefined) report.warning(newer);
  }
  if (others.length > 0) report.say(`Not backups: ${countOf(others.length, 'other file')}.`);
  if (listing.truncated) {
    report.warning(
      `${location} contains too many files: only ${listing.entries.length} are listed`,
    );
  }
  report.result({
    ok: true,
    command: 'list',
    location,
    freeBytes,
    backups: backups.map((backup) => ({
      name: backup.name,
      created: backup.created?.toISOString(),
      format: backup.format,
      backupId: backup.backupId,
      bytes: backup.size,
      storedBytes: stored.get(backup.untrustedName),
      kind: backup.kind,
      qubes: backup.contents?.qubes.map(({ qube }) => qube.name),
      dom0Home: backup.contents === undefined ? null : backup.contents.dom0Home !== undefined,
      series: backup.inSeries?.seriesId,
      sequence: backup.inSeries?.sequence,
      check: checkForPrograms(checkOf(backup, checks)),
      card: backup.inSeries && seriesCard(backup.inSeries),
      lost: backup.lost,
      problem: backup.problem,
    })),
    others,
    directories: listing.entries
      .filter(({ kind }) => kind === 'DIRECTORY')
      .map(({ untrustedName }) => printable(untrustedName)),
    truncated: listing.truncated,
    warnings: report.warnings,
  });
  return ExitStatus.done;
}

/**
 * A summary of files that are not backups by themselves. They need no rows: if one is missing, the rows of backups say
 * so.
 */
function withData(holders: readonly FoundBackup[], backups: readonly FoundBackup[]): string {
  if (holders.length === 0) return '';
  const whose = backups.length === 0 ? 'that an interrupted backup had sent' : 'of theirs';
  const bytes = holders.reduce((sum, { size }) => sum + size, 0);
  return `, and ${countOf(holders.length, 'file')} with data ${whose}, ${formatSize(bytes)}`;
}

/** The last check of a backup, if that is authenticated: any other file could have the same id. */
function checkOf(
  { inSeries, backupId }: FoundBackup,
  checks: ReadonlyMap<string, BackupCheck>,
): BackupCheck | undefined {
  return inSeries && checks.get(backupId ?? '');
}

/** What of the backups that are shown was checked. */
function describeCheck(shown: readonly FoundBackup[]): string {
  const opened = shown.filter(({ contents }) => contents !== undefined).length;
  if (opened === 0) {
    return 'Nothing was checked: the times are taken from the names, the formats from the headers.';
  }
  const which = opened === shown.length ? 'of each' : `of ${countOf(opened, 'backup')}`;
  return `Only the header and the list of VMs ${which} were checked: coffer verify checks everything.`;
}

/** The newest backup of each series, among those that were authenticated. */
function newestOfEach(backups: readonly FoundBackup[]): NonNullable<FoundBackup['inSeries']>[] {
  const newest = new Map<string, NonNullable<FoundBackup['inSeries']>>();
  for (const { inSeries } of backups) {
    if (inSeries === undefined) continue;
    const known = newest.get(inSeries.seriesId);
    if (inSeries.sequence > (known?.sequence ?? 0)) newest.set(inSeries.seriesId, inSeries);
  }
  return [...newest.values()];
}

function formatBackups(
  backups: readonly FoundBackup[],
  isOpened: boolean,
  checks: ReadonlyMap<string, BackupCheck>,
  stored: ReadonlyMap<string, number>,
): string {
  const rows = backups.map((backup) => {
    const { untrustedName, name, created, format, contents, problem, lost } = backup;
    const check = checkOf(backup, checks);
    return [
      name,
      created === undefined ? '' : formatMinute(created),
      format ?? '',
      formatSize(stored.get(untrustedName) ?? 0),
      ...(isOpened
        ? [
            contents === undefined ? '' : formatSize(dataIn(contents)),
            contents === undefined ? '' : namesIn(contents),
            check === undefined ? '' : formatMinute(new Date(1000 * check.at)),
          ]
        : []),
      problem ??
        [
          ...(check?.result === 'damaged' ? ['found damaged'] : []),
          ...(lost.length === 0 ? [] : [`data is missing of ${lost.join(', ')}`]),
        ].join('; '),
    ];
  });
  // Which files of data belong to a backup is not known unless it is opened.
  const sizes = isOpened ? ['stored', 'data', 'VMs', 'checked'] : ['size'];
  return formatTable(['backup', 'made on', 'format', ...sizes, ''], rows);
}

/** Bytes of data before compression, as stated in the backup; an estimate. */
function dataIn(contents: BackupContents): number {
  return contents.qubes.reduce((sum, { size }) => sum + size, sizeOfDom0(contents) ?? 0);
}

function namesIn(contents: BackupContents): string {
  const { qubes, unusable } = contents;
  return [
    ...qubes.map(({ qube }) => qube.name),
    ...(dom0Trees(contents).length === 0 ? [] : ['dom0']),
    ...unusable.map(({ name }) => `${name} (cannot be restored)`),
  ].join(', ');
}
