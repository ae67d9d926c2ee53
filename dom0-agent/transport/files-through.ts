import { ByteReader } from '../../shared/byte-reader.ts';
import type { FileRange, OpenedFile } from '../../shared/byte-streams.ts';
import { FailedError } from '../../shared/errors.ts';
import { KiB, MiB } from '../../shared/sizes.ts';
import type { StoredFiles } from './storage.ts';

/** The size of a cached block in bytes: starting a command takes as long as reading one or more of them. */
const BLOCK = 256 * KiB;
/** The longest read that is cached, in blocks; of a read without a known end, its beginning. */
const MOST_AT_ONCE = MiB / BLOCK;
/** How many blocks are cached for all files. Those that were not used for longest are dropped. */
const MOST_BLOCKS = 64;

/**
 * The files of a directory behind a command. Each read there starts a command. So a short read fetches whole blocks,
 * which are cached, since the same few places of a file are read again and again. Long reads, and reads of ranges, are
 * passed on.
 */
export class FilesThrough implements StoredFiles {
  readonly location: string;
  readonly #files: StoredFiles;
  readonly #opened = new Map<string, Promise<FileThrough>>();
  readonly #blocks = new Blocks();

  constructor(files: StoredFiles) {
    this.#files = files;
    this.location = files.location;
  }

  async open(untrustedName: string): Promise<OpenedFile> {
    const known = this.#opened.get(untrustedName);
    if (known !== undefined) return known;
    const opening = this.#files
      .open(untrustedName)
      .then((file) => new FileThrough(file, this.#blocks));
    this.#opened.set(untrustedName, opening);
    try {
      return await opening;
    } catch (error) {
      this.#opened.delete(untrustedName);
      throw error;
    }
  }

  async *read(ranges: Iterable<FileRange>): AsyncGenerator<Buffer, void, undefined> {
    yield* this.#files.read(uncached(ranges));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#files[Symbol.asyncDispose]();
  }
}

/** The same ranges of the files themselves. */
function* uncached(ranges: Iterable<FileRange>): Generator<FileRange, void, undefined> {
  for (const { file, from, to } of ranges) {
    if (!(file instanceof FileThrough)) throw new FailedError('a file of another directory');
    yield { file: file.file, from, to };
  }
}

class FileThrough implements OpenedFile {
  readonly seekable = true;
  readonly size: number;
  readonly file: OpenedFile;
  readonly #blocks: Blocks;

  constructor(file: OpenedFile, blocks: Blocks) {
    this.file = file;
    this.size = file.size;
    this.#blocks = blocks;
    // Whoever opens a file needs both ends of it: both are requested now.
    const end = Math.ceil(this.size / BLOCK);
    const isShort = end <= MOST_AT_ONCE;
    blocks.ask(file, 0, isShort ? end : 1);
    if (!isShort) blocks.ask(file, Math.floor((this.size - BLOCK / 2) / BLOCK), end);
  }

  async *read(from = 0, to?: number): AsyncGenerator<Buffer, void, undefined> {
    const end = Math.min(to ?? this.size, this.size);
    const isShort = end - from <= MOST_AT_ONCE * BLOCK;
    // A read without an end mostly stops early.
    const kept = isShort ? end : to === undefined ? from + MOST_AT_ONCE * BLOCK : from;
    for (let at = from; at < kept;) {
      const next = isShort ? end : Math.min((Math.floor(at / BLOCK) + 1) * BLOCK, kept);
      yield* this.#kept(at, next);
      at = next;
    }
    if (kept < end) yield* this.file.read(kept, end);
  }

  /** From the cache; at most MOST_AT_ONCE + 1 blocks. */
  async *#kept(from: number, end: number): AsyncGenerator<Buffer, void, undefined> {
    if (from >= end) return;
    const first = Math.floor(from / BLOCK);
    const blocks = this.#blocks.of(this.file, first, Math.ceil(end / BLOCK));
    for (const [index, block] of blocks.entries()) {
      const start = (first + index) * BLOCK;
      yield (await block).subarray(Math.max(from - start, 0), end - start);
    }
  }
}

/** The cached blocks of all files: those that were read, or are being read. */
class Blocks {
  /** By file and number; the most recently used one comes last. */
  readonly #kept = new Map<string, Promise<Buffer>>();
  readonly #numbers = new Map<OpenedFile, number>();

  /** The blocks from `first` up to, not including, `last`. Those that are missing are read at once. */
  of(file: OpenedFile, first: number, last: number): Promise<Buffer>[] {
    const keys = numbersIn(first, last).map((index) => this.#key(file, index));
    // First, so that the blocks that are cached are not dropped in favour of the missing ones.
    for (const key of keys) this.#use(key);
    this.ask(file, first, last);
    return keys.map((key) => this.#kept.get(key) ?? notRead());
  }

  /** Starts reading those of these blocks that are not cached. */
  ask(file: OpenedFile, first: number, last: number): void {
    const missing = numbersIn(first, last).filter(
      (index) => !this.#kept.has(this.#key(file, index)),
    );
    const [from, to] = [missing[0], missing.at(-1)];
    if (from !== undefined && to !== undefined) this.#read(file, from, to + 1);
  }

  #key(file: OpenedFile, index: number): string {
    const number = this.#numbers.get(file) ?? this.#numbers.size;
    this.#numbers.set(file, number);
    return `${number} ${index}`;
  }

  #use(key: string): void {
    const block = this.#kept.get(key);
    if (block === undefined) return;
    this.#kept.delete(key);
    this.#kept.set(key, block);
  }

  #read(file: OpenedFile, first: number, last: number): void {
    const start = first * BLOCK;
    const whole = wholeOf(file, start, Math.min(last * BLOCK, file.size));
    for (let index = first; index < last; index++) {
      const key = this.#key(file, index);
      const at = index * BLOCK - start;
      // Copied, so that a cached block does not keep its neighbours in memory.
      const block = whole.then((bytes) => Buffer.from(bytes.subarray(at, at + BLOCK)));
      // Whoever waits for it gets the error; the next one reads again.
      block.catch(() => {
        if (this.#kept.get(key) === block) this.#kept.delete(key);
      });
      this.#kept.set(key, block);
    }
    for (const key of this.#kept.keys()) {
      if (this.#kept.size <= MOST_BLOCKS) return;
      this.#kept.delete(key);
    }
  }
}

function notRead(): never {
  throw new RangeError('a block that was not read');
}

function numbersIn(first: number, last: number): number[] {
  return Array.from({ length: last - first }, (_, index) => first + index);
}

/** In one piece from the start: the storage decides how many chunks this comes in, and each has a cost. */
async function wholeOf(file: OpenedFile, from: number, to: number): Promise<Buffer> {
  await using bytes = new ByteReader(file.read(from, to));
  return await bytes.exact(to - from);
}
