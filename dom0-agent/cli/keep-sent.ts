import { messageOf } from '../../shared/errors.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { ByteSink } from '../../shared/byte-streams.ts';
import type { NewFile } from '../backup/read-back.ts';
import { KeptData } from '../backup/keep-data.ts';
import type { SeriesBackup } from '../backup/series-backup.ts';
import type { SeriesFile } from '../backup/series-state.ts';
import type { Sink } from '../transport/storage.ts';
import { dataLimits, keepsData } from './data-limits.ts';
import { type BackupContext, type Proposal, storeOf } from './propose-backup.ts';
import { withGrace } from './signals.ts';

/** How many names a message lists. */
const MOST_NAMES = 3;

/**
 * Where a backup keeps what it has sent. Undefined if it keeps nothing, because it must not need any other file, or
 * because the next backup could not find the files.
 *
 * @param own the file of the backup itself
 * @param counted wraps a sink to count what is written to it
 */
export function keepSent(
  series: SeriesBackup,
  proposal: Proposal,
  own: Sink,
  created: Date,
  counted: (sink: Sink) => ByteSink,
  context: BackupContext,
): KeptData | undefined {
  const { request, report } = context;
  const { flags, location: directory } = request;
  const { storage } = proposal;
  if (!keepsData(proposal, flags) || series.file.earlier === undefined) return undefined;
  const signal = withGrace(context.signal);
  return new KeptData({
    ...{ storage, directory, own, series, store: storeOf(context), created, signal },
    onKeep: () => {
      if (context.signal.aborted) {
        report.info('keeping what was sent; a second signal discards it');
      }
    },
    ...{ limits: dataLimits(), counted },
    onUnnoted: (error) =>
      report.warning(`what was sent was not recorded for the next backup: ${messageOf(error)}`),
  });
}

/** For people: what an interrupted backup has left. */
export function describeLeft(kept: KeptData | undefined): string {
  if (kept === undefined || kept.files.length === 0) return 'the unfinished backup is discarded';
  return `${formatSize(kept.bytes)} of what was sent is kept; the next backup continues from there`;
}

/** For people: what a failed backup has left, and how to free the space if it is needed. */
export function describeKept({ files, bytes }: KeptData): string {
  const names = files.map(({ file }) => file.fileName);
  const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : '';
  return (
    `${formatSize(bytes)} of what was sent is kept, and the next backup continues from there. To free the space instead, ` +
    `delete ${names.slice(0, MOST_NAMES).join(', ')}${more}`
  );
}

/**
 * The files of data that a backup needs and that were never read back: its own, and those that interrupted backups have
 * left.
 *
 * @param needs the ids of the files that it refers to
 */
export function uncheckedData(
  { file, state, left }: SeriesBackup,
  needs: readonly string[],
  place: string,
): NewFile[] {
  const before = new Set(left.map(({ backupId }) => backupId));
  const isNew = ({ kind, backupId, sequence, check }: SeriesFile): boolean =>
    kind === 'data' &&
    check === undefined &&
    needs.includes(backupId) &&
    (before.has(backupId) || sequence >= file.sequence);
  return (state?.files ?? []).filter(isNew).map(({ fileName, bytes, backupId, mac }) => ({
    fileName,
    stored: { location: `${place}/${fileName}`, bytes, sha256: '' },
    written: { key: file.series.key, name: { backupId, mac } },
  }));
}

/**
 * The names of the files in which the data that a backup refers to may be: those where it was first stored, and packs.
 *
 * @param needs the ids of the files that it refers to
 */
export function filesNeeded({ state, lost }: SeriesBackup, needs: readonly string[]): string[] {
  if (needs.length === 0) return [];
  const known = (state?.files ?? []).filter((file) => !lost.includes(file));
  return known
    .filter(({ kind, backupId }) => kind === 'pack' || needs.includes(backupId))
    .map(({ fileName }) => fileName);
}
