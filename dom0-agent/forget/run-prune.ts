import { newId } from '../archive/coffer1/series.ts';
import type { NamedFile } from '../archive/coffer1/manifest.ts';
import type { FileOfSeries } from '../archive/coffer1/open-series-file.ts';
import type { PartsFileOptions, WrittenParts } from '../archive/coffer1/parts-file.ts';
import { writePack } from '../archive/coffer1/write-pack.ts';
import { DamagedError } from '../../shared/errors.ts';
import { timeInName } from '../../shared/local-time.ts';
import { FetchedAssembly } from '../transport/fetched-assembly.ts';
import { underNewName } from '../transport/new-name.ts';
import { NotOfferedError } from '../transport/storage-errors.ts';
import type { Assembly, DeletedBackup, Storage, StoredFiles } from '../transport/storage.ts';
import { forgetList, requireListable } from '../archive/coffer1/forget-list.ts';
import { movingParts } from './moving-parts.ts';
import { openReplacements } from './check-replacements.ts';
import { type PackParts, packFiles } from './plan-pack-files.ts';
import type { PrunePlan, PrunedFile } from './plan-prune.ts';

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
  const packs = await orWithoutPacks(place, names, signal, () =>
    openReplacements({ plan, place, names, made }, progress, signal),
  );
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
