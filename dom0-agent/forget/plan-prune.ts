import { mapPath, parseMap } from '../archive/coffer1/volume-map.ts';
import type { PlacedPart } from '../archive/coffer1/parts-table.ts';
import type { PartOffsets } from '../archive/coffer1/part-offsets.ts';
import type { FileOfSeries } from '../archive/coffer1/open-series-file.ts';
import type { WholeSeries } from '../archive/coffer1/whole-series.ts';
import { NeededChunks } from '../archive/coffer1/needed-chunks.ts';
import { LEAST_LIVE, type PackPlan, type PartsFile, liveShare, planPacks } from './plan-packs.ts';
import { type RetentionRules, type Verdict, applyRetention } from './retention.ts';
import { type StoredBackup, storedBackups } from './stored-backup.ts';

/** A file of the series with its parts. */
export interface PrunedFile extends PartsFile {
  readonly stored: FileOfSeries;
  readonly offsets: PartOffsets;
  /** In bytes. */
  readonly size: number;
}

/** What a prune will do. */
export interface PrunePlan extends PackPlan<PrunedFile> {
  readonly series: WholeSeries;
  /** For all backups, oldest first. */
  readonly verdicts: readonly Verdict<StoredBackup>[];
  readonly files: readonly PrunedFile[];
  /** The chunks that the backups that are kept refer to. */
  readonly live: NeededChunks;
  /** Bytes of the files that go. */
  readonly goingBytes: number;
  /** Bytes of the parts that move into packs. */
  readonly packedBytes: number;
}

/**
 * Decides by the rules which backups are forgotten, and by the maps of the others, which are read and authenticated
 * now, which files of the series can go. Changes nothing.
 *
 * @param givenUp the ids of files on signed lists of files to delete, which go whatever the rules say: they may be deleted
 *   at any time, so nothing that is kept may need them
 * @throws DamagedError when a map, or a part that a kept backup needs, is missing or damaged; RefusedError when a
 *   backup's time is implausible
 */
export async function planPrune(
  series: WholeSeries,
  rules: RetentionRules,
  now: Date,
  givenUp: ReadonlySet<string>,
): Promise<PrunePlan> {
  const isGivenUp = ({ file }: FileOfSeries): boolean => givenUp.has(file.backupId);
  const backups = await storedBackups(series.files);
  const left = backups.filter(({ stored }) => !isGivenUp(stored));
  const byRules = applyRetention(left, rules, now);
  const live = new NeededChunks();
  for (const { backup } of byRules.filter(isKept)) await addMaps(backup.stored, live);
  const verdicts: Verdict<StoredBackup>[] = [];
  for (const verdict of byRules) verdicts.push(await orNeeded(verdict, live));
  for (const backup of backups.filter(({ stored }) => isGivenUp(stored))) {
    verdicts.push({ backup, reasons: [] });
  }
  verdicts.sort((one, other) => one.backup.sequence - other.backup.sequence);
  const kept = verdicts.filter(isKept);
  const keptFiles = new Set(kept.map(({ backup }) => backup.stored));
  const files: PrunedFile[] = [];
  for (const stored of series.files) {
    const fate = isGivenUp(stored) ? 'goes' : fateOf(stored, keptFiles, verdicts);
    files.push(await prunedFile(stored, fate));
  }
  const packs = planPacks(files, live);
  const goingBytes = packs.going.reduce((sum, { size }) => sum + size, 0);
  const packedBytes = packs.packed.reduce((sum, { bytes }) => sum + bytes, 0);
  return { ...packs, series, verdicts, files, live, goingBytes, packedBytes };
}

function isKept({ reasons }: Verdict<StoredBackup>): boolean {
  return reasons.length > 0;
}

/**
 * A backup that needs no other is kept after all if most of it is needed by kept backups: copying it would take much
 * time and space, while keeping it costs little. What it refers to is then needed, too.
 */
async function orNeeded(
  verdict: Verdict<StoredBackup>,
  live: NeededChunks,
): Promise<Verdict<StoredBackup>> {
  const { stored } = verdict.backup;
  if (isKept(verdict) || stored.file.manifest.needs.length > 0) return verdict;
  if (liveShare(await prunedFile(stored, 'open'), live) < LEAST_LIVE) return verdict;
  await addMaps(stored, live);
  return { ...verdict, reasons: ['needed by others'] };
}

/** Adds all chunks that the maps of a backup refer to. Throws DamagedError. */
export async function addMaps({ file }: FileOfSeries, live: NeededChunks): Promise<void> {
  const { grain } = file.opened.header;
  for (const { path, volume } of file.manifest.files) {
    if (volume === undefined) continue;
    live.add(await parseMap(file.contentOf(mapPath(path)), path, grain));
  }
}

/** A file with its parts, whose table is read. Throws DamagedError. */
export async function prunedFile(
  stored: FileOfSeries,
  fate: PartsFile['fate'],
): Promise<PrunedFile> {
  const { file } = stored;
  const offsets = await file.parts();
  const parts: Iterable<PlacedPart> = {
    *[Symbol.iterator]() {
      for (let row = 0; row < offsets.table.length; row++) yield offsets.table.at(row);
    },
  };
  return { stored, offsets, backupId: file.backupId, size: file.input.size, fate, parts };
}

/**
 * What the rules say about a file: kept backups stay, others go. A file of data after the newest backup stays too, since
 * the next backup continues from it; about other files, the parts that are needed decide.
 */
function fateOf(
  stored: FileOfSeries,
  kept: ReadonlySet<FileOfSeries>,
  verdicts: readonly Verdict<StoredBackup>[],
): PartsFile['fate'] {
  const { kind } = stored.file.opened.header;
  if (kind === 'backup') return kept.has(stored) ? 'stays' : 'goes';
  const newest = verdicts.at(-1)?.backup.sequence ?? 0;
  return kind === 'data' && stored.file.manifest.sequence > newest ? 'stays' : 'open';
}
