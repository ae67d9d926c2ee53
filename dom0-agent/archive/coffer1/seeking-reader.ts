import { setImmediate } from 'node:timers/promises';
import { DamagedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import type { ArchiveReader, ArchivedFile, InSeries } from '../archive.ts';
import { LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import { checkSeries } from './check-series.ts';
import { bits, hasBit } from './chunk-mask.ts';
import type { Coffer1Header } from './coffer1-header.ts';
import { type LocatedPart, LocatedParts } from './located-parts.ts';
import type { ManifestFile } from './manifest.ts';
import { heldByPacks, volumesIn } from './missing-files.ts';
import { authenticateParts, openTexts } from './open-parts.ts';
import { type WantedPart, chunksOfParts, storedParts } from './planned-parts.ts';
import { ReadPlan, type Step } from './read-plan.ts';
import type { SeriesFile } from './series-file.ts';
import type { SeriesFiles } from './series-files.ts';
import { brokenFile, smallFile, textFile, wholeOf } from './small-files.ts';
import { storedVolumes } from './stored-volumes.ts';
import { VolumeCheck } from './volume-check.ts';
import { type VolumeMap, mapPath, parseMap } from './volume-map.ts';

/** How many bytes of chunks are kept of parts that are needed again. */
const ROOM = 64 * MiB;

/**
 * Reads a backup from a file: its manifest first, then only what is wanted. For a volume that is its map, and the parts
 * that the map names, in any files of the series.
 */
export class SeekingReader implements ArchiveReader {
  readonly #file: SeriesFile;
  readonly #files: SeriesFiles;

  constructor(file: SeriesFile, files: SeriesFiles) {
    this.#file = file;
    this.#files = files;
  }

  get header(): Coffer1Header {
    return this.#file.opened.header;
  }

  get inSeries(): InSeries {
    const { seriesId, sequence, needs, made } = this.#file.manifest;
    return {
      ...{ seriesId, sequence, mac: this.#file.manifestMac, made: new Date(made) },
      needs: needs.map(({ backupId }) => backupId),
      volumes: () => storedVolumes(this.#file),
      heldByPacks: () => heldByPacks(this.#files),
      volumesIn: (backupIds) => volumesIn(this.#file, backupIds),
      filesOfOthers: () => this.#files.ofOthers(),
      check: (progress, only) => checkSeries(this.#files, progress, only),
    };
  }

  async qubesXml(): Promise<string> {
    const content = this.#file.contentOf(QUBES_XML);
    return (await wholeOf(content, LARGEST_QUBES_XML, QUBES_XML)).toString('utf8');
  }

  async *files(wanted: (path: string) => boolean): AsyncGenerator<ArchivedFile, void, undefined> {
    let all = true;
    let firstPart = 0;
    let small: ManifestFile[] = [];
    for (const file of this.#file.manifest.files) {
      const ownParts = { from: firstPart, to: firstPart + (file.volume?.parts ?? 0) };
      firstPart = ownParts.to;
      if (!wanted(file.path)) {
        all &&= file.path === QUBES_XML;
        continue;
      }
      if (file.volume === undefined && !isTree(file)) {
        small.push(file);
        continue;
      }
      yield* this.#smallFiles(small);
      small = [];
      if (file.volume === undefined) yield this.#tree(file.path);
      else yield this.#volume(file, ownParts);
    }
    yield* this.#smallFiles(small);
    if (all) await this.#checkRest(firstPart);
  }

  /**
   * Authenticates everything that no file needs. After all files have been read, each byte of the backup has then been
   * checked.
   *
   * @param ofVolumes how many of the parts that were first stored in this file are of its volumes
   */
  async #checkRest(ofVolumes: number): Promise<void> {
    await authenticateParts(this.#file.storedRest(), this.#file.opened.key);
    const { table } = await this.#file.parts();
    const moved = table.length - table.own;
    await this.#authenticate((row) => row < moved || row >= moved + ofVolumes);
  }

  /** Reads adjacent small files together. */
  async *#smallFiles(
    files: readonly ManifestFile[],
  ): AsyncGenerator<ArchivedFile, void, undefined> {
    let batch: ManifestFile[] = [];
    for (const file of files) {
      const place = this.#file.places.of(file.path);
      const last = batch.at(-1);
      const goesOn = last === undefined || this.#file.places.of(last.path).to === place.from;
      if (place.members.length > 1 || file.size > LARGEST_QUBES_XML || !goesOn) {
        yield* this.#textsOf(batch);
        batch = [];
      }
      if (place.members.length > 1 || file.size > LARGEST_QUBES_XML) {
        yield await smallFile(file.path, this.#file.contentOf(file.path));
      } else {
        batch.push(file);
      }
    }
    yield* this.#textsOf(batch);
  }

  async *#textsOf(files: readonly ManifestFile[]): AsyncGenerator<ArchivedFile, void, undefined> {
    if (files.length === 0) return;
    const places = files.map(({ path }) => this.#file.places.of(path));
    const sizes = files.map(({ size }) => size);
    const texts = openTexts(this.#file.storedAt(places), sizes, this.#file.opened);
    const left = [...files];
    for await (const text of texts) {
      const path = left.shift()?.path ?? '';
      yield text instanceof DamagedError ? brokenFile(path, 0, text) : textFile(path, text);
    }
  }

  #tree(path: string): ArchivedFile {
    return { path, innerTar: this.#file.contentOf(path) };
  }

  #volume(file: ManifestFile, ownParts: PartRange): ArchivedFile {
    return { path: file.path, size: file.size, pieces: () => this.#piecesOf(file, ownParts) };
  }

  async *#piecesOf(
    { path, size, volume }: ManifestFile,
    ownParts: PartRange,
  ): AsyncGenerator<DataPiece, void, undefined> {
    const { key } = this.#file.opened;
    const { grain } = this.header;
    const map = await parseMap(this.#file.contentOf(mapPath(path)), path, grain);
    if (map.size !== size || map.chunks !== volume?.chunks) {
      throw new DamagedError(`${path} in the backup does not match its manifest`);
    }
    const check = new VolumeCheck(key.root, map, grain);
    const located = await LocatedParts.of(map, this.#files);
    const plan = this.#planOf(map, located);
    yield* this.#piecesByPlan(plan, located, check);
    check.end();
    check.compare(map);
    await this.#authenticateUnused(ownParts, plan, located, path);
  }

  #planOf(map: VolumeMap, located: LocatedParts): ReadPlan {
    const room = Math.floor(ROOM / this.header.grain);
    return new ReadPlan(map.runs, located.count, (run) => located.partOf(run), room);
  }

  async *#piecesByPlan(
    plan: ReadPlan,
    located: LocatedParts,
    check: VolumeCheck,
  ): AsyncGenerator<DataPiece, void, undefined> {
    const read = chunksOfParts(() => partsToRead(plan, located), this.#files);
    const kept = new Map<number, readonly (Buffer | undefined)[]>();
    try {
      for (const step of plan.steps()) {
        const chunks = step.isRead ? await nextOf(read) : kept.get(step.part);
        yield* piecesOfStep(step, chunks ?? [], check);
        kept.delete(step.part);
        for (const part of step.dropped) kept.delete(part);
        if (step.kept !== 0) kept.set(step.part, keptOf(step, chunks ?? []));
      }
      // Asking for the end checks the padding of the last part.
      if ((await read.next()).done !== true) throw new RangeError('more parts than were asked for');
    } finally {
      await read.return();
    }
  }

  /**
   * Authenticates the volume's parts that its map does not name: of a volume without data, the part that announces it.
   */
  async #authenticateUnused(
    { from, to }: PartRange,
    plan: ReadPlan,
    located: LocatedParts,
    path: string,
  ): Promise<void> {
    const { table } = await this.#file.parts();
    if (to > table.own) {
      throw new DamagedError(
        `the manifest counts parts of ${path} that the backup does not contain`,
      );
    }
    const first = table.length - table.own + from;
    const isUsed = new Uint8Array(to - from);
    for (const { file, row } of partsToRead(plan, located)) {
      if (file === this.#file) isUsed[row - first] = 1;
    }
    await this.#authenticate((row) => isUsed[row - first] === 0);
  }

  /** Authenticates parts in this file, by row. */
  async #authenticate(isMeant: (row: number) => boolean): Promise<void> {
    const [file, parts] = [this.#file, await this.#file.parts()];
    const meant = function* (): Generator<LocatedPart, void, undefined> {
      for (let row = 0; row < parts.table.length; row++) {
        if (isMeant(row)) yield { file, parts, row };
      }
    };
    await authenticateParts(storedParts(meant, this.#files), file.opened.key);
  }
}

/** Parts by their numbers: `from` up to, not including, `to`. */
interface PartRange {
  readonly from: number;
  readonly to: number;
}

function isTree({ path }: ManifestFile): boolean {
  return path.startsWith('dom0-home/');
}

function* partsToRead(
  plan: ReadPlan,
  located: LocatedParts,
): Generator<WantedPart, void, undefined> {
  for (const { isRead, part, runs, kept } of plan.steps()) {
    if (!isRead) continue;
    const wanted = runs.reduce((mask, { offset, count }) => mask | bits(offset, count), kept);
    yield { ...located.at(part), wanted, kept };
  }
}

async function* piecesOfStep(
  { runs }: Step,
  chunks: readonly (Buffer | undefined)[],
  check: VolumeCheck,
): AsyncGenerator<DataPiece, void, undefined> {
  for (const { first, count, offset } of runs) {
    for (let i = 0; i < count; i++) {
      const chunk = chunks[offset + i];
      if (chunk === undefined) throw new RangeError(`chunk ${first + i} is not at hand`);
      yield* check.pieces(first + i, chunk);
      // Meanwhile the next part is decompressed: its output must be taken, or the decompressor stops.
      await setImmediate();
    }
  }
}

/** The chunks that later steps need. */
function keptOf({ kept }: Step, chunks: readonly (Buffer | undefined)[]): (Buffer | undefined)[] {
  return chunks.map((chunk, at) => (hasBit(kept, at) ? chunk : undefined));
}

async function nextOf(
  read: AsyncGenerator<Buffer[], void, undefined>,
): Promise<Buffer[] | undefined> {
  const next = await read.next();
  return next.done === true ? undefined : next.value;
}
