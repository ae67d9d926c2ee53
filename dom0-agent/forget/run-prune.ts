import { newId } from '../archive/coffer1/series.ts';
import type { NamedFile } from '../archive/coffer1/manifest.ts';
import type { LocatedPart } from '../archive/coffer1/located-parts.ts';
import { authenticateParts } from '../archive/coffer1/open-parts.ts';
import { storedParts } from '../archive/coffer1/planned-parts.ts';
import { type FileOfSeries, openSeriesFile } from '../archive/coffer1/open-series-file.ts';
import type { PartsFileOptions, WrittenParts } from '../archive/coffer1/parts-file.ts';
import { writePack } from '../archive/coffer1/write-pack.ts';
import { DamagedError, StorageError } from '../../shared/errors.ts';
import { timeInName } from '../../shared/local-time.ts';
import { FetchedAssembly } from '../transport/fetched-assembly.ts';
import { NotOfferedError, isRefusal } from '../transport/storage-errors.ts';
import type { Assembly, DeletedBackup, Storage, StoredFiles } from '../transport/storage.ts';
import { forgetList } from '../archive/coffer1/forget-list.ts';
import { movingParts } from './moving-parts.ts';
import { type PackParts, packFiles } from './plan-pack-files.ts';
import { planPacks } from './plan-packs.ts';
import { type PrunePlan, type PrunedFile, prunedFile } from './plan-prune.ts';

/** So many packs of one time have names. */
const MOST_PACKS = 99;

/** Where a series lies. */
export interface SeriesPlace {
  readonly storage: Storage;
  readonly directory: string;
  /** The directory, opened: the files of the plan were read through it. */
  readonly files: StoredFiles;
  /** Or only stores a signed list of what may go. */
  readonly deletes: boolean;
}

/** What is told of a prune on its way. */
export interface PruneProgress {
  /**
   * All that replaces something is there and authentic; what the plan lets go is deleted next. From now on no backup may
   * refer to that.
   */
  replaced(done: Pick<PruneResult, 'packs' | 'last'>): Promise<void>;
  /** So many bytes of so many were read back and are authentic. */
  checked(bytes: number, of: number): void;
}

/** What a prune did. */
export interface PruneResult {
  /** Files that were made, as they were read back. */
  readonly packs: readonly (FileOfSeries & Pick<WrittenParts, 'table' | 'ids'>)[];
  /** The newest file of the series. */
  readonly last: NamedFile & { readonly sequence: number };
  readonly deletions: readonly DeletedBackup[];
  /** The name of the list that was stored instead of deleting. */
  readonly list: string | undefined;
}

/**
 * Does what the plan says, in an order in which nothing is lost wherever it ends: packs are made of what is live in the files
 * that go; all that replaces something is read back and authenticated; then it is checked that nothing else is
 * needed; only then are files deleted, backups before what they refer to.
 *
 * @throws whatever happens before anything is deleted
 */
export async function runPrune(
  plan: PrunePlan,
  place: SeriesPlace,
  now: Date,
  progress: PruneProgress,
  signal: AbortSignal,
): Promise<PruneResult> {
  const { storage, directory, files, deletes } = place;
  // Whether it may delete is known before there are packs that nobody would need.
  if (deletes && plan.going.length > 0) await storage.deleteBackups(directory, [], signal);
  const { space } = await storage.browse(directory, signal);
  let last = newestOf(plan);
  const names: string[] = [];
  const made: WrittenParts[] = [];
  for (const parts of packFiles(plan.packed, space.largestFile)) {
    const bytes = parts.reduce((sum, part) => sum + part.bytes, 0);
    await using output = await openNewPack(place, bytes, now, signal);
    const pack = await writePack(
      movingParts(parts, files),
      output.sink,
      packOptions(parts, plan, last, now),
      signal,
    );
    await output.sink.finish();
    names.push(output.fileName);
    last = { ...pack.name, sequence: last.sequence + 1 };
    made.push(pack);
  }
  const packs = await orWithoutPacks(place, names, signal, async () => {
    const opened = await openPacks(files, names, made, plan, signal);
    await authenticateReplacements(plan, opened, files, progress);
    await requireAllThere(plan, opened, place, signal);
    return opened;
  });
  await progress.replaced({ packs, last });
  if (!deletes) {
    return { packs, last, deletions: [], list: await storeList(plan, place, now, signal) };
  }
  const deletions = await storage.deleteBackups(directory, namesInOrder(plan.going), signal);
  return { packs, last, deletions, list: undefined };
}

/** Tells the storage's own side what may go. Gives the name of the list. */
async function storeList(
  { series, going }: PrunePlan,
  { storage, directory }: SeriesPlace,
  now: Date,
  signal: AbortSignal,
): Promise<string> {
  const fileName = `coffer-forget-${timeInName(now)}`;
  const list = forgetList(series, going, now);
  await using sink = await storage.openSink({ directory, fileName }, list.length, signal);
  await sink.write(list);
  await sink.finish();
  return fileName;
}

/** What is found wrong with the new packs is no use to anybody: they are removed, and nothing else. */
async function orWithoutPacks<T>(
  { storage, directory }: SeriesPlace,
  names: readonly string[],
  signal: AbortSignal,
  check: () => Promise<T>,
): Promise<T> {
  try {
    return await check();
  } catch (error) {
    if (error instanceof DamagedError) {
      await Promise.allSettled([storage.deleteBackups(directory, names, signal)]);
    }
    throw error;
  }
}

function newestOf({ series }: PrunePlan): NamedFile & { sequence: number } {
  const newest = series.files.at(-1)?.file;
  if (newest === undefined) throw new RangeError('a series without a file');
  const { backupId, manifestMac, manifest } = newest;
  return { backupId, mac: manifestMac, sequence: manifest.sequence };
}

/** `qubes-pack-2026-11-25T203011`, and `…-2` for the next one of the same time. */
async function openNewPack(
  place: SeriesPlace,
  expectedBytes: number,
  now: Date,
  signal: AbortSignal,
) {
  for (let number = 1; ; number++) {
    const name = `qubes-pack-${timeInName(now)}`;
    const fileName = number === 1 ? name : `${name}-${number}`;
    try {
      const sink = await openAssembly(place, fileName, expectedBytes, signal);
      const dispose = (): PromiseLike<void> => sink[Symbol.asyncDispose]();
      return { fileName, sink, [Symbol.asyncDispose]: dispose };
    } catch (error) {
      if (!isRefusal(error, 'EXISTS') || number === MOST_PACKS) throw error;
    }
  }
}

/** Storage that is only added to need not offer to assemble, and a command never does. */
async function openAssembly(
  { storage, directory, files }: SeriesPlace,
  fileName: string,
  expectedBytes: number,
  signal: AbortSignal,
): Promise<Assembly> {
  const target = { directory, fileName };
  try {
    return await storage.openAssembly(target, expectedBytes, signal);
  } catch (error) {
    if (!(error instanceof NotOfferedError)) throw error;
    return new FetchedAssembly(await storage.openSink(target, expectedBytes, signal), files);
  }
}

function packOptions(
  parts: PackParts,
  { series }: PrunePlan,
  last: NamedFile & { readonly sequence: number },
  now: Date,
): PartsFileOptions {
  const header = parts[0]?.file.stored.file.opened.header;
  if (header === undefined) throw new RangeError('a pack without a part');
  const { encrypted, compressionFilter, grain, partSize, seriesId } = header;
  return {
    series: { seriesId, key: series.key, head: Promise.resolve(series.head) },
    ...{ backupId: newId(), sequence: last.sequence + 1 },
    previous: { backupId: last.backupId, mac: last.mac },
    ...{ encrypted, compressionFilter, cut: { grain, partSize }, created: now },
  };
}

/** Opens the packs as the storage has them now. They must be those that were written. */
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
  progress: PruneProgress,
): Promise<void> {
  const parts: LocatedPart[] = plan.replacing.map(({ file, row }) => ({
    ...{ file: file.stored.file, parts: file.offsets, row },
  }));
  for (const { file } of packs) {
    const offsets = await file.parts();
    for (let row = 0; row < offsets.table.length; row++) parts.push({ file, parts: offsets, row });
    // The ids, which nothing here needs.
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

/** Throws when anything that is live is in no file that stays and is there, as a plan of these alone finds. */
async function requireAllThere(
  plan: PrunePlan,
  packs: readonly FileOfSeries[],
  { storage, directory }: SeriesPlace,
  signal: AbortSignal,
): Promise<void> {
  const staying = plan.files.filter((file) => !plan.going.includes(file));
  const { entries } = await storage.browse(directory, signal);
  const sizes = new Map(entries.map(({ untrustedName, size }) => [untrustedName, size]));
  for (const { stored, size } of staying) {
    if (sizes.get(stored.untrustedName) === size) continue;
    throw new StorageError(
      `${stored.untrustedName} has changed since it was checked: nothing was deleted`,
    );
  }
  const added = await Promise.all(packs.map((stored) => prunedFile(stored, 'stays')));
  planPacks([...staying, ...added], plan.live);
}

/** Backups before the data and packs that they refer to, younger ones before those that they go on from. */
function namesInOrder(going: readonly PrunedFile[]): string[] {
  const youngestFirst = going
    .map(({ stored }) => stored)
    .toSorted((one, other) => other.file.manifest.sequence - one.file.manifest.sequence);
  const isBackup = ({ file }: FileOfSeries): boolean => file.opened.header.kind === 'backup';
  const [backups, others] = [
    youngestFirst.filter(isBackup),
    youngestFirst.filter((stored) => !isBackup(stored)),
  ];
  return [...backups, ...others].map(({ untrustedName }) => untrustedName);
}
