import { mapPath, parseMap } from '../archive/coffer1/volume-map.ts';
import type { PlacedPart } from '../archive/coffer1/parts-table.ts';
import type { PartOffsets } from '../archive/coffer1/part-offsets.ts';
import type { FileOfSeries } from '../archive/coffer1/open-series-file.ts';
import type { WholeSeries } from '../archive/coffer1/whole-series.ts';
import { NeededChunks } from '../archive/coffer1/needed-chunks.ts';
import { LEAST_LIVE, type PackPlan, type PartsFile, liveShare, planPacks } from './plan-packs.ts';
import { type RetentionRules, type Verdict, applyRetention } from './retention.ts';
import { type StoredBackup, storedBackups } from './stored-backup.ts';

/** A file of the series with what lies in it. */
export interface PrunedFile extends PartsFile {
  readonly stored: FileOfSeries;
  readonly offsets: PartOffsets;
  /** In bytes. */
  readonly size: number;
}

/** What a prune will do. Nothing was changed for it. */
export interface PrunePlan extends PackPlan<PrunedFile> {
  readonly series: WholeSeries;
  /** Of all backups, oldest first. */
  readonly verdicts: readonly Verdict<StoredBackup>[];
  readonly files: readonly PrunedFile[];
  /** What the backups that are kept refer to. */
  readonly live: NeededChunks;
  /** Bytes of the files that go, and of what moves into packs. */
  readonly goingBytes: number;
  readonly packedBytes: number;
}

/**
 * Decides by the rules which backups are forgotten, and by the maps of the others, read anew and authenticated, what of the
 * series' files can go.
 *
 * @throws DamagedError when a map, or a part that a kept backup needs, is missing or damaged; RefusedError when a time
 *   cannot be
 */
export async function planPrune(
  series: WholeSeries,
  rules: RetentionRules,
  now: Date,
): Promise<PrunePlan> {
  const byRules = applyRetention(await storedBackups(series.files), rules, now);
  const live = new NeededChunks();
  for (const { backup } of byRules.filter(isKept)) await addMaps(backup.stored, live);
  const verdicts: Verdict<StoredBackup>[] = [];
  for (const verdict of byRules) verdicts.push(await orNeeded(verdict, live));
  const kept = verdicts.filter(isKept);
  const keptFiles = new Set(kept.map(({ backup }) => backup.stored));
  const files: PrunedFile[] = [];
  for (const stored of series.files) {
    files.push(await prunedFile(stored, fateOf(stored, keptFiles, verdicts)));
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
 * A backup that needs no other is kept after all when most of it is needed by those that are kept: to copy it would take
 * much time and space, and to keep it costs little. What it refers to is then live, too.
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

/** Adds all that the maps of a backup refer to. */
export async function addMaps({ file }: FileOfSeries, live: NeededChunks): Promise<void> {
  const { grain } = file.opened.header;
  for (const { path, volume } of file.manifest.files) {
    if (volume === undefined) continue;
    live.add(await parseMap(file.contentOf(mapPath(path)), path, grain));
  }
}

/** What lies in a file. */
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

/** Data of a backup that was broken off stays, too: the next backup goes on from it. */
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
