import { newId } from '../archive/coffer1/series.ts';
import type { NamedFile } from '../archive/coffer1/manifest.ts';
import type { LocatedPart } from '../archive/coffer1/located-parts.ts';
import { authenticateParts } from '../archive/coffer1/open-parts.ts';
import { storedParts } from '../archive/coffer1/planned-parts.ts';
import {
  type FileOfSeries,
  openOfSeries,
  openSeriesFile,
} from '../archive/coffer1/open-series-file.ts';
import type { PartsFileOptions, WrittenParts } from '../archive/coffer1/parts-file.ts';
import { writePack } from '../archive/coffer1/write-pack.ts';
import { DamagedError, StorageError } from '../../shared/errors.ts';
import { timeInName } from '../../shared/local-time.ts';
import { printable } from '../../shared/printable.ts';
import { FetchedAssembly } from '../transport/fetched-assembly.ts';
import { underNewName } from '../transport/new-name.ts';
import { NotOfferedError } from '../transport/storage-errors.ts';
import type {
  Assembly,
  DeletedBackup,
  Listing,
  Storage,
  StoredFiles,
} from '../transport/storage.ts';
import { forgetList, requireListable } from '../archive/coffer1/forget-list.ts';
import { movingParts } from './moving-parts.ts';
import { type PackParts, packFiles } from './plan-pack-files.ts';
import { planPacks } from './plan-packs.ts';
import { type PrunePlan, type PrunedFile, prunedFile } from './plan-prune.ts';

/** Where a series is stored. */
export interface SeriesPlace {
  readonly storage: Storage;
  readonly directory: string;
  /** The directory, opened: the files of the plan were read through it. */
  readonly files: StoredFiles;
  /** The names of its files when the series was opened for the plan. */
  readonly untrustedNames: readonly string[];
  /** Whether to delete files; otherwise only a signed list of files to delete is stored. */
  readonly deletes: boolean;
}

/** Is told about the progress of a prune. */
export interface PruneProgress {
  /**
   * Everything that replaces something is stored and authentic; the files that go are deleted next. From now on, no
   * backup may refer to them.
   */
  replaced(done: Pick<PruneResult, 'packs' | 'last'>): Promise<void>;
  /** `bytes` of `of` bytes were read back and are authentic. */
  checked(bytes: number, of: number): void;
}

/** What a prune did. */
export interface PruneResult {
  /** New packs, as they were read back. */
  readonly packs: readonly (FileOfSeries & Pick<WrittenParts, 'table' | 'ids'>)[];
  /** The newest file of the series. */
  readonly last: NamedFile & { readonly sequence: number };
  readonly deletions: readonly DeletedBackup[];
  /** The name of the list that was stored instead of deleting. */
  readonly list: string | undefined;
}

/**
 * Carries out the plan, in an order in which nothing is lost if it is interrupted: it makes packs of what is needed in
 * the files that go; reads back and authenticates everything that replaces something; checks that nothing else is
 * needed; and only then deletes files, backups before the files that they refer to.
 *
 * @throws RefusedError before anything is done; DamagedError or StorageError before anything is deleted; what cannot be
 *   deleted is in the result
 */
export async function runPrune(
  plan: PrunePlan,
  place: SeriesPlace,
  now: Date,
  progress: PruneProgress,
  signal: AbortSignal,
): Promise<PruneResult> {
  const { storage, directory, files, deletes } = place;
  if (!deletes) requireListable(plan.going);
  // Fails if the storage does not allow deleting, before packs are made in vain.
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
    const now = await storage.browse(directory, signal);
    await requireNothingNew(plan, names, now, place, signal);
    await requireAllThere(plan, opened, now);
    return opened;
  });
  await progress.replaced({ packs, last });
  if (!deletes) {
    return { packs, last, deletions: [], list: await storeList(plan, place, now, signal) };
  }
  const deletions = await storage.deleteBackups(directory, namesInOrder(plan.going), signal);
  return { packs, last, deletions, list: undefined };
}

/** Stores a signed list of the files that may be deleted at the storage's end. Returns the name of the list. */
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

/** Runs `check`; if it finds damage, it removes the new packs, and nothing else. */
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

/** Opens a pack: `qubes-pack-2026-11-25T203011`, or `…-2` for the next one with the same time. */
async function openNewPack(
  place: SeriesPlace,
  expectedBytes: number,
  now: Date,
  signal: AbortSignal,
) {
  const { opened: sink, fileName } = await underNewName('pack', now, (name) =>
    openAssembly(place, name, expectedBytes, signal),
  );
  const dispose = (): PromiseLike<void> => sink[Symbol.asyncDispose]();
  return { fileName, sink, [Symbol.asyncDispose]: dispose };
}

/** Append-only storage may not offer assembling, and a command never does: then parts are fetched and sent again. */
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
  progress: PruneProgress,
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

/** Backups before the data and packs that they refer to, newer backups before those that they continue from. */
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
