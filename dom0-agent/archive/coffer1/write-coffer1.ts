import { availableParallelism } from 'node:os';
import { FailedError } from '../../../shared/errors.ts';
import type { ByteSink } from '../../../shared/byte-streams.ts';
import { type ArchiveKey, sealMember } from './seal-member.ts';
import { HEADER_NAME } from '../untrusted-header.ts';
import { BufferPool } from '../parts/buffer-pool.ts';
import { cutIntoBuffers } from '../parts/cut-into-buffers.ts';
import { partName } from '../parts/part-name.ts';
import { OuterTarWriter } from '../tar/outer-writer.ts';
import type { Content } from '../content.ts';
import { cutText } from './cut-text.ts';
import {
  type Cut,
  PART_TEXT_LENGTH,
  type Coffer1Filter,
  type Coffer1Header,
  formatHeader,
} from './coffer1-header.ts';
import { IdThreads } from './id-threads.ts';
import { LARGEST_MANIFEST, MANIFEST_PATH, type NamedFile, formatManifest } from './manifest.ts';
import {
  COMPRESSED_AT_ONCE,
  MemberSealer,
  type PlainMember,
  type SealedMember,
} from './member-sealer.ts';
import type { PartsTable } from './parts-table.ts';
import { PARTS_PATH, formatPartsTable } from './parts-table-text.ts';
import { DataFiles, type DataTarget } from './data-files.ts';
import type { NextFile, SeriesHead } from './series.ts';
import { type VolumeMap, formatMap, mapPath } from './volume-map.ts';
import { AHEAD, partsOfVolume } from './volume-parts.ts';
import { DATA_PATH, IDS_PATH } from './member-paths.ts';
import { WrittenSoFar } from './written-so-far.ts';

/** How a backup is written. */
export interface Coffer1Options extends NextFile {
  readonly encrypted: boolean;
  readonly compressionFilter: Coffer1Filter | undefined;
  readonly cut: Cut;
  /** When the backup was begun. */
  readonly created: Date;
  /** Where the parts of a long backup are stored ahead. Undefined: all go to its own file. */
  readonly ahead?: DataTarget | undefined;
}

/** What the next file of the series needs to know about a backup. */
export interface WrittenFile {
  readonly name: NamedFile;
  readonly sequence: number;
  readonly table: PartsTable;
  /** The ids of all chunks, in the order of the parts. */
  readonly ids: Iterable<Buffer>;
  readonly maps: readonly VolumeMap[];
  readonly grain: number;
  /** The ids of the other files that it refers to. */
  readonly needs: readonly string[];
  /** The origins of the volumes that differ from their last backup. */
  readonly changed: ReadonlySet<string>;
  /** How many chunks were stored for it, as no earlier file had them. */
  readonly newChunks: number;
}

/** Parts in memory besides those that are read, get ids or are compressed: one is filled, one sealed, one written. */
const PARTS_BESIDE = 3;

/**
 * Writes a backup of `contents` in one pass: docs/archive-format.md. Reading, compressing on all cores, sealing and
 * writing go on at the same time, and in a new series also the key derivation. Holds a few parts in memory, and some 30
 * bytes for each chunk of this backup and, if it refers to earlier files, of the volume's domain. If it fails, what was
 * stored ahead remains.
 */
export async function writeCoffer1(
  contents: AsyncIterable<Content>,
  output: ByteSink,
  options: Coffer1Options,
  signal: AbortSignal,
): Promise<WrittenFile> {
  await using writer = new Coffer1Writer(output, options, signal);
  return await writer.write(contents);
}

class Coffer1Writer implements AsyncDisposable {
  readonly #tar: OuterTarWriter;
  readonly #options: Coffer1Options;
  readonly #signal: AbortSignal;
  readonly #key: ArchiveKey;
  readonly #header: Promise<Buffer>;
  readonly #idThreads: IdThreads;
  readonly #bufferSize: number;
  readonly #pool: BufferPool;
  /** Ends waiting for memory. */
  readonly #stop = new AbortController();
  readonly #sealer: MemberSealer;
  readonly #soFar: WrittenSoFar;
  readonly #data: DataFiles;

  constructor(output: ByteSink, options: Coffer1Options, signal: AbortSignal) {
    this.#tar = new OuterTarWriter(output);
    this.#options = options;
    this.#signal = signal;
    const { series, backupId, encrypted, compressionFilter, cut, earlier, ahead } = options;
    const { key } = series;
    this.#key = { root: key, backupId, encrypted };
    this.#soFar = new WrittenSoFar(key, backupId, cut, earlier);
    const streamable = earlier === undefined;
    // A backup that can be restored from a stream is a single file.
    this.#data = new DataFiles(options, streamable ? undefined : ahead);
    const header: Omit<Coffer1Header, keyof SeriesHead> = {
      ...{ format: 'coffer-1', kind: 'backup', backupId, streamable },
      ...{ encrypted, compressionFilter, ...cut },
    };
    this.#header = series.head.then((head) => formatHeader({ ...header, ...head }));
    void Promise.allSettled([this.#header]);
    this.#bufferSize = PART_TEXT_LENGTH + cut.partSize;
    const stop = AbortSignal.any([signal, this.#stop.signal]);
    // If everything is stored, computing ids is not what takes the time.
    this.#idThreads =
      earlier === undefined ? new IdThreads(1, Infinity) : new IdThreads(idThreads());
    const buffers = COMPRESSED_AT_ONCE + AHEAD * this.#idThreads.atOnce + PARTS_BESIDE;
    this.#pool = new BufferPool(this.#bufferSize * buffers, stop);
    this.#sealer = new MemberSealer(this.#key, options, this.#pool, stop, signal);
  }

  async write(contents: AsyncIterable<Content>): Promise<WrittenFile> {
    const begun = this.#storeHeader();
    // Its error is thrown when the first member is stored; until then it must not count as unhandled.
    void Promise.allSettled([begun]);
    await this.#storeContents(contents, begun);
    await this.#storeAll(this.#closingMembers(), begun);
    const manifest = await this.#sealer.seal(this.#manifest());
    await this.#store(manifest);
    await this.#tar.end();
    const { table, ids, maps, newChunks, changed } = this.#soFar;
    const { backupId, cut } = this.#options;
    const { sequence } = this.#data.next;
    const needs = this.#soFar.needs().map((file) => file.backupId);
    const name = { backupId, mac: manifest.mac };
    return { name, sequence, table, ids, maps, newChunks, changed, needs, grain: cut.grain };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#sealer[Symbol.asyncDispose]();
    await this.#idThreads[Symbol.asyncDispose]();
    await this.#data[Symbol.asyncDispose]();
    await Promise.allSettled([this.#header]);
  }

  /** If the backup cannot be completed, what was stored ahead remains. */
  async #storeContents(contents: AsyncIterable<Content>, begun: Promise<void>): Promise<void> {
    try {
      await this.#storeAll(this.#membersOf(contents), begun);
      await this.#data.close();
    } catch (error) {
      await this.#data.keep();
      throw error;
    }
  }

  /** Small files, parts of volumes, trees. */
  async *#membersOf(contents: AsyncIterable<Content>): AsyncGenerator<PlainMember> {
    let stage = 0;
    for await (const content of contents) {
      stage = STAGES.indexOf(content.kind, stage);
      if (stage < 0) throw new RangeError(`${content.path} is too late`);
      switch (content.kind) {
        case 'file':
          yield* this.#membersOfText(content.path, [content.bytes]);
          this.#soFar.addFile(content.path, content.bytes.length);
          break;
        case 'volume':
          yield* this.#membersOfVolume(content);
          break;
        case 'tree':
          yield* this.#membersOfTree(content);
      }
    }
  }

  async *#membersOfVolume(
    content: Extract<Content, { kind: 'volume' }>,
  ): AsyncGenerator<PlainMember> {
    const volume = await this.#soFar.addVolume(content);
    if (volume === undefined) return;
    await volume.check();
    const parts = partsOfVolume(volume, {
      ...{ cut: this.#options.cut, pool: this.#pool, threads: this.#idThreads },
      nextPlace: () => this.#data.nextPlace(),
      announces: this.#options.earlier === undefined,
    });
    for await (const { bytes, buffer, ...made } of parts) {
      const part = { ...made, volume };
      this.#soFar.notePart(part);
      yield { name: partName(DATA_PATH, part.place.part).name, bytes, buffer, part };
    }
  }

  async *#membersOfTree({
    path,
    tar,
  }: Extract<Content, { kind: 'tree' }>): AsyncGenerator<PlainMember> {
    let index = 0;
    let size = 0;
    for await (const { bytes, buffer } of cutIntoBuffers(tar, this.#bufferSize, this.#pool)) {
      size += bytes.length;
      yield { name: partName(path, index++).name, bytes, buffer };
    }
    this.#soFar.addFile(path, size);
  }

  /** The members of a file that is in memory, or is made piece by piece: at least one. */
  *#membersOfText(path: string, pieces: Iterable<Buffer>): Generator<PlainMember> {
    let index = 0;
    for (const bytes of cutText(pieces, this.#options.cut.partSize)) {
      yield { name: partName(path, index++).name, bytes };
    }
  }

  /** Maps, the table of parts and the ids: everything that follows from what was stored. */
  async *#closingMembers(): AsyncGenerator<PlainMember> {
    for (const map of this.#soFar.maps) {
      yield* this.#membersOfText(mapPath(map.path), formatMap(map));
    }
    yield* this.#membersOfText(PARTS_PATH, formatPartsTable(this.#soFar.table));
    yield* this.#membersOfText(IDS_PATH, this.#soFar.ids);
    await Promise.resolve();
  }

  #manifest(): PlainMember {
    const { series, created } = this.#options;
    const bytes = formatManifest(this.#soFar.manifest(series.seriesId, this.#data.next, created));
    if (bytes.length > LARGEST_MANIFEST) {
      throw new FailedError(
        'the backup has too many files for its manifest: back up in two halves',
      );
    }
    return { name: partName(MANIFEST_PATH, 0).name, bytes };
  }

  /** @param begun resolves when the header is stored; members are read and compressed ahead meanwhile */
  async #storeAll(members: AsyncIterable<PlainMember>, begun: Promise<void>): Promise<void> {
    try {
      for await (const member of this.#sealer.sealed(members)) {
        this.#signal.throwIfAborted();
        await begun;
        await this.#store(member);
      }
    } catch (error) {
      // Otherwise reading ahead might wait for a buffer that is never returned.
      this.#stop.abort();
      throw error;
    }
  }

  async #store(member: SealedMember): Promise<void> {
    const { part } = member;
    if (part === undefined || this.#data.isOwn(part)) await this.#storeMember(member);
    else await this.#data.store({ ...member, part });
    this.#sealer.release(member);
  }

  /** The header is authenticated like every member, and not encrypted. */
  async #storeHeader(): Promise<void> {
    const bytes = await this.#header;
    const mac = await sealMember({ ...this.#key, encrypted: false }, HEADER_NAME, bytes);
    await this.#storeMember({ name: HEADER_NAME, bytes, mac });
  }

  async #storeMember({ name, bytes, mac, part }: SealedMember): Promise<void> {
    await this.#tar.member(name, bytes);
    await this.#tar.member(`${name}.hmac`, Buffer.from(`${mac}\n`));
    this.#soFar.note({ name, size: bytes.length, mac }, part);
    if (part !== undefined) this.#data.noteOwn(bytes.length);
  }
}

/**
 * When a backup continues earlier files, most data is read and only compared. More threads would wait for the reading.
 */
function idThreads(): number {
  return Math.min(4, availableParallelism());
}

/** The order of contents. Small files may also follow the volumes that they are about. */
const STAGES: readonly Content['kind'][] = ['file', 'volume', 'file', 'tree'];
