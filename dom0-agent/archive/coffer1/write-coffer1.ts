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

export interface Coffer1Options extends NextFile {
  readonly encrypted: boolean;
  readonly compressionFilter: Coffer1Filter | undefined;
  readonly cut: Cut;
  /** When the backup was begun. */
  readonly created: Date;
  /** Where parts are stored ahead of a backup that takes long. Undefined: all are in its own file. */
  readonly ahead?: DataTarget | undefined;
}

/** A backup as the next one of its series needs to know it. */
export interface WrittenFile {
  readonly name: NamedFile;
  readonly sequence: number;
  readonly table: PartsTable;
  /** The ids of all chunks, in the order of the parts. */
  readonly ids: Iterable<Buffer>;
  readonly maps: readonly VolumeMap[];
  readonly grain: number;
  /** The other files that it refers to. */
  readonly needs: readonly string[];
  /** The origins of volumes that are not as they were at their last backup. */
  readonly changed: ReadonlySet<string>;
  /** How many chunks were stored for it: those of the maps that were in no file before. */
  readonly newChunks: number;
}

/** More parts than are read, given ids or compressed: one is filled, one sealed, one written. */
const PARTS_BESIDE = 3;

/**
 * Writes a backup of `contents` in one pass: docs/archive-format.md. Reading, compressing on all cores, sealing and
 * writing go on at the same time, and with the derivation of the key of a series that begins. Holds a few parts, and
 * some 30 bytes for each chunk: of this backup, and of the volume's domain where earlier files are referred to. When it
 * fails, what was stored ahead of it stays.
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
  /** Ends the waiting for memory. */
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
    // What is to be restored from a stream is in one file.
    this.#data = new DataFiles(options, streamable ? undefined : ahead);
    const header: Omit<Coffer1Header, keyof SeriesHead> = {
      ...{ format: 'coffer-1', kind: 'backup', backupId, streamable },
      ...{ encrypted, compressionFilter, ...cut },
    };
    this.#header = series.head.then((head) => formatHeader({ ...header, ...head }));
    void Promise.allSettled([this.#header]);
    this.#bufferSize = PART_TEXT_LENGTH + cut.partSize;
    const stop = AbortSignal.any([signal, this.#stop.signal]);
    // What stores everything waits for other things than ids.
    this.#idThreads =
      earlier === undefined ? new IdThreads(1, Infinity) : new IdThreads(idThreads());
    const buffers = COMPRESSED_AT_ONCE + AHEAD * this.#idThreads.atOnce + PARTS_BESIDE;
    this.#pool = new BufferPool(this.#bufferSize * buffers, stop);
    this.#sealer = new MemberSealer(this.#key, options, this.#pool, stop, signal);
  }

  async write(contents: AsyncIterable<Content>): Promise<WrittenFile> {
    const begun = this.#storeHeader();
    // Its error is thrown when the first member is stored; until then it is not unhandled.
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

  /** What cannot be completed leaves what was stored ahead of it. */
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

  /** The members of a file of any length that is in memory, or made as it is asked for: one at least. */
  *#membersOfText(path: string, pieces: Iterable<Buffer>): Generator<PlainMember> {
    let index = 0;
    for (const bytes of cutText(pieces, this.#options.cut.partSize)) {
      yield { name: partName(path, index++).name, bytes };
    }
  }

  /** Maps, the table of parts and the ids: all that follows from what was stored. */
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

  /** @param begun the header is stored; until then members are read and compressed ahead */
  async #storeAll(members: AsyncIterable<PlainMember>, begun: Promise<void>): Promise<void> {
    try {
      for await (const member of this.#sealer.sealed(members)) {
        this.#signal.throwIfAborted();
        await begun;
        await this.#store(member);
      }
    } catch (error) {
      // Else what reads ahead might wait for a buffer that nobody gives back.
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

/** Where files are gone on from, the most is read and only compared. More threads than these wait for what is read. */
function idThreads(): number {
  return Math.min(4, availableParallelism());
}

/** Small files may follow the volumes that they tell of. */
const STAGES: readonly Content['kind'][] = ['file', 'volume', 'file', 'tree'];
