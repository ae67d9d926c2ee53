import type { LocatedPart } from '../archive/coffer1/located-parts.ts';
import { authenticateParts } from '../archive/coffer1/open-parts.ts';
import { storedParts } from '../archive/coffer1/planned-parts.ts';
import {
  type FileOfSeries,
  openOfSeries,
  openSeriesFile,
} from '../archive/coffer1/open-series-file.ts';
import type { WrittenParts } from '../archive/coffer1/parts-file.ts';
import { StorageError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { Listing, StoredFiles } from '../transport/storage.ts';
import { planPacks } from './plan-packs.ts';
import type { PruneProgress, PruneResult, SeriesPlace } from './run-prune.ts';
import { type PrunePlan, prunedFile } from './plan-prune.ts';

/** What a prune has made to replace what goes. */
export interface Replacements {
  readonly plan: PrunePlan;
  readonly place: SeriesPlace;
  /** The names of the new packs, and what was written to them. */
  readonly names: readonly string[];
  readonly made: readonly WrittenParts[];
}

/**
 * Opens the new packs as the storage returns them, authenticates everything that replaces something, and checks that
 * nothing else is needed. Throws DamagedError and StorageError.
 */
export async function openReplacements(
  { plan, place, names, made }: Replacements,
  progress: Pick<PruneProgress, 'checked'>,
  signal: AbortSignal,
): Promise<PruneResult['packs']> {
  const { storage, directory, files } = place;
  const opened = await openPacks(files, names, made, plan, signal);
  await authenticateReplacements(plan, opened, files, progress);
  const listing = await storage.browse(directory, signal);
  await requireNothingNew(plan, names, listing, place, signal);
  await requireAllThere(plan, opened, listing);
  return opened;
}

/** Opens the packs as the storage returns them. Throws StorageError if one is not the pack that was written. */
async function openPacks(
  files: StoredFiles,
  names: readonly string[],
  made: readonly WrittenParts[],
  { series }: PrunePlan,
  signal: AbortSignal,
): Promise<PruneResult['packs']> {
  const packs: PruneResult['packs'][number][] = [];
  for (const [i, { name, table, ids }] of made.entries()) {
    const untrustedName = names[i] ?? '';
    const file = await openSeriesFile(await files.open(untrustedName), series.key, signal);
    if (file.backupId !== name.backupId || file.manifestMac !== name.mac) {
      throw new StorageError(`${untrustedName} is not what was stored: nothing was deleted`);
    }
    packs.push({ untrustedName, file, table, ids });
  }
  return packs;
}

/** Reads back all parts that replace others. Throws DamagedError when one is not authentic. */
async function authenticateReplacements(
  plan: PrunePlan,
  packs: readonly FileOfSeries[],
  directory: StoredFiles,
  progress: Pick<PruneProgress, 'checked'>,
): Promise<void> {
  const parts: LocatedPart[] = plan.replacing.map(({ file, row }) => ({
    ...{ file: file.stored.file, parts: file.offsets, row },
  }));
  for (const { file } of packs) {
    const offsets = await file.parts();
    for (let row = 0; row < offsets.table.length; row++) parts.push({ file, parts: offsets, row });
    // What has not been read yet: the ids of its chunks.
    await authenticateParts(file.storedRest(), file.opened.key);
  }
  const [first] = parts;
  if (first === undefined) return;
  const total = parts.reduce((sum, { parts: { table }, row }) => sum + table.at(row).size, 0);
  let checked = 0;
  async function* told() {
    for await (const member of storedParts(() => parts, directory)) {
      checked += member.size;
      progress.checked(checked, total);
      yield member;
    }
  }
  await authenticateParts(told(), first.file.opened.key);
}

/**
 * Throws StorageError if there is a file of the series that was not there when the plan was made: a backup of another
 * machine, or of another user, whose lock is another one. It may need what goes.
 *
 * @param made the names of the new packs
 */
async function requireNothingNew(
  { series: { key, head } }: PrunePlan,
  made: readonly string[],
  { entries }: Listing,
  { files, untrustedNames }: SeriesPlace,
  signal: AbortSignal,
): Promise<void> {
  const known = new Set([...untrustedNames, ...made]);
  for (const { kind, untrustedName } of entries) {
    if (kind !== 'FILE' || known.has(untrustedName)) continue;
    const series = { seriesId: head.seriesId, key };
    if ((await openOfSeries(files, untrustedName, series, signal)) === undefined) continue;
    throw new StorageError(
      `${printable(untrustedName)} was stored meanwhile, and may need what was to be deleted: nothing was deleted`,
    );
  }
}

/**
 * Makes a plan of the files that stay and the packs alone, which throws DamagedError if a needed part is in none of
 * them. Throws StorageError if a file that stays is missing or has another size.
 */
async function requireAllThere(
  plan: PrunePlan,
  packs: readonly FileOfSeries[],
  { entries }: Listing,
): Promise<void> {
  const staying = plan.files.filter((file) => !plan.going.includes(file));
  const sizes = new Map(entries.map(({ untrustedName, size }) => [untrustedName, size]));
  for (const { stored, size } of staying) {
    if (sizes.get(stored.untrustedName) === size) continue;
    throw new StorageError(
      `${printable(stored.untrustedName)} has changed since it was checked: nothing was deleted`,
    );
  }
  const added = await Promise.all(packs.map((stored) => prunedFile(stored, 'stays')));
  planPacks([...staying, ...added], plan.live);
}
