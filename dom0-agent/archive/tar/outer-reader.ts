import type { ByteSource } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { KiB, MiB, formatSize } from '../../../shared/sizes.ts';
import { isZero } from '../../../shared/sparse-data.ts';
import { BLOCK, paddingOf } from '../../../shared/tar-block.ts';
import { LONGEST_NAME, encodeHeader } from './header-block.ts';
import { Entries, type UntrustedEntry } from './outer-extraction.ts';

/** Below this, reading on is cheaper than asking the other side to seek. */
const SEEK_WORTHWHILE = 1 * MiB;
/** How much behind the end of a tar is looked at. */
const LOOKED_AT_BEHIND = 64 * MiB;
/** The pax headers of official backups hold three times of day. */
const LARGEST_PAX_HEADER = 4 * KiB;

/** What follows the end of a tar. */
export interface BehindEnd {
  /** Where the tar ends in the archive. */
  readonly end: number;
  /** How many bytes follow, if they are not all zeros; otherwise 0. */
  readonly bytes: number;
  /** Whether more may follow. */
  readonly orMore: boolean;
}

export interface OuterTarOptions {
  /** Where to begin and to end, both between members; by default the whole archive. */
  readonly from?: number;
  readonly to?: number;
  /**
   * Whether every byte must be as `OuterTarWriter` writes it: coffer-1. In official archives
   * zero blocks stand between members, and headers tell times and owners.
   */
  readonly canonical?: boolean;
}

/**
 * Reads the members of the outer tar one after the other, by tar-stream's `extract`. What the consumer
 * leaves of a member is passed over, by seeking where that is possible.
 */
export class OuterTarReader implements AsyncDisposable {
  readonly #input: ByteSource;
  readonly #to: number | undefined;
  #canonical: boolean;
  /** Whether every header so far was as `OuterTarWriter` writes it. */
  #canonicalSoFar = true;
  #entries: Entries;
  #member: OuterMember | undefined;
  #ended = false;

  constructor(input: ByteSource, options: OuterTarOptions = {}) {
    this.#input = input;
    this.#to = options.to;
    this.#canonical = options.canonical ?? false;
    this.#entries = this.#entriesFrom(options.from ?? 0);
  }

  /** From now on as with the option `canonical`; throws DamagedError if it was not so till now. */
  requireCanonical(): void {
    this.#canonical = true;
    this.#entries.stopsAtEnd = true;
    if (!this.#canonicalSoFar) {
      throw new DamagedError('the backup is damaged: a tar header is not as coffer writes it');
    }
  }

  /** The next member, or undefined at the end. Throws DamagedError. */
  async next(): Promise<OuterMember | undefined> {
    if (this.#ended) return undefined;
    if (this.#member !== undefined) await this.#pass(this.#member);
    const entry = await this.#entries.next();
    if (entry === undefined) {
      this.#ended = true;
      if (this.#canonical) await this.#checkEnd();
      return undefined;
    }
    this.#member = new OuterMember(entry);
    this.#canonicalSoFar &&= await isCanonical(entry, this.#member);
    if (this.#canonical) this.requireCanonical();
    else checkOfficialGap(entry, this.#member);
    return this.#member;
  }

  /**
   * What follows the end of a canonical tar, once `next` has given undefined. Zeros are nothing: a device, or
   * `dd conv=sync`, fills up with them. No more is looked at than LOOKED_AT_BEHIND, as it may have no end.
   */
  async behindEnd(): Promise<BehindEnd> {
    const { size } = this.#input;
    const end = this.#entries.tarEnd;
    let position = this.#member?.dataEnd ?? 0;
    let isNothing = true;
    let isCounted = true;
    for await (const untrustedBytes of this.#entries.rest()) {
      isNothing &&= isZero(untrustedBytes);
      position += untrustedBytes.length;
      isCounted = position - end < LOOKED_AT_BEHIND && (isNothing || size === undefined);
      if (!isCounted) break;
    }
    if (isNothing) return { end, bytes: 0, orMore: false };
    return { end, bytes: (size ?? position) - end, orMore: size === undefined && !isCounted };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#entries[Symbol.asyncDispose]();
  }

  async #pass(member: OuterMember): Promise<void> {
    const { dataEnd } = member;
    if (member.left < SEEK_WORTHWHILE || !this.#input.seekable) return member.skip();
    if (this.#input.size !== undefined && dataEnd > this.#input.size) {
      throw new DamagedError('the backup ends in the middle of a member: it is cut short');
    }
    await this.#entries[Symbol.asyncDispose]();
    this.#entries = this.#entriesFrom(dataEnd);
  }

  #entriesFrom(offset: number): Entries {
    const entries = new Entries(this.#input, offset, this.#to);
    entries.stopsAtEnd = this.#canonical;
    return entries;
  }

  /** The tar ends with two blocks of zeros; what was asked for of it (`to`), with its last member. */
  async #checkEnd(): Promise<void> {
    if (this.#entries.tarEnded && this.#to === undefined) return;
    if (this.#to !== undefined) {
      let length = 0;
      for await (const untrustedBytes of this.#entries.rest()) {
        length += untrustedBytes.length;
        if (!isZero(untrustedBytes)) length = Infinity;
      }
      if (length === paddingOf(this.#member?.dataEnd ?? 0)) return;
    }
    throw new DamagedError('the backup does not end where it should: it is cut short, or damaged');
  }
}

/** A member of the outer tar. Its name is checked, its size plausible; its bytes are hostile. */
export class OuterMember {
  readonly name: string;
  readonly size: number;
  /** Where its bytes end in the archive. */
  readonly dataEnd: number;
  readonly #nextChunk: UntrustedEntry['nextChunk'];
  #left: number;

  /** Throws DamagedError for a member that is no plain file, or has a forbidden name. */
  constructor({ untrustedHeader, dataEnd, nextChunk }: UntrustedEntry) {
    if (untrustedHeader.type !== 'file') {
      throw new DamagedError(
        'the backup holds a member that is not a plain file, as no backup does',
      );
    }
    this.name = checkedName(untrustedHeader.name);
    this.size = untrustedHeader.size;
    this.dataEnd = dataEnd;
    this.#left = this.size;
    this.#nextChunk = nextChunk;
  }

  /** Where its bytes begin in the archive. */
  get dataOffset(): number {
    return this.dataEnd - this.size;
  }

  /** How many of its bytes were not given yet. */
  get left(): number {
    return this.#left;
  }

  /** The whole member. Throws DamagedError when it is larger than `limit`, before reading it. */
  async bytes(limit: number): Promise<Buffer> {
    this.#refuseLarger(limit);
    return this.bytesIn(Buffer.allocUnsafe(this.size));
  }

  /** The same, at the beginning of `buffer`, whose length is the limit. */
  async bytesIn(buffer: Buffer): Promise<Buffer> {
    this.#refuseLarger(buffer.length);
    let filled = 0;
    for await (const chunk of this.stream()) filled += chunk.copy(buffer, filled);
    return buffer.subarray(0, filled);
  }

  /** The member's bytes as they come. */
  async *stream(): AsyncGenerator<Buffer, void, undefined> {
    while (this.#left > 0) {
      const chunk = await this.#nextChunk();
      if (chunk === undefined) throw new DamagedError(`the backup is cut short in ${this.name}`);
      this.#left -= chunk.length;
      yield chunk;
    }
  }

  /** Reads what is left of it to its end, so that the next one can come. */
  async skip(): Promise<void> {
    const stream = this.stream();
    while ((await stream.next()).done !== true) continue;
    if (this.size > 0) await this.#nextChunk();
  }

  #refuseLarger(limit: number): void {
    if (this.size <= limit) return;
    throw new DamagedError(
      `the backup's member ${this.name} claims ${formatSize(this.size)}, more than a sound one can have`,
    );
  }
}

/** Whether what stands before a member is, to the byte, what coffer writes. */
async function isCanonical(
  { untrustedGap, padding }: UntrustedEntry,
  { name, size }: OuterMember,
): Promise<boolean> {
  if (untrustedGap.length !== padding + BLOCK || name.length > LONGEST_NAME) return false;
  const block = await encodeHeader(name, size);
  return isZero(untrustedGap.subarray(0, padding)) && untrustedGap.subarray(padding).equals(block);
}

/**
 * In official archives, zero blocks stand before a member, and a pax header with times. A name or a size
 * there would make the tar ambiguous.
 */
function checkOfficialGap(
  { untrustedGap, padding, untrustedHeader }: UntrustedEntry,
  { name }: OuterMember,
): void {
  const own = untrustedGap.subarray(-BLOCK);
  let start = untrustedGap.findIndex((byte) => byte !== 0);
  start -= (start - padding) % BLOCK;
  const pax = untrustedGap.length - BLOCK - start;
  const keys = Object.keys(untrustedHeader.pax ?? {});
  if (
    start < padding ||
    own.toString('latin1', 0, name.length + 1) !== `${name}\0` ||
    pax > BLOCK + LARGEST_PAX_HEADER ||
    pax > 0 !== keys.length > 0 ||
    !keys.every((key) => /^[mac]time$/.test(key))
  ) {
    throw new DamagedError('the backup is damaged: something stands between its members');
  }
}

/** A relative path of printable ASCII, no part of it `.` or `..`: all that any backup uses. */
function checkedName(untrustedName: string): string {
  const plain = /^[\x20-\x7e]+$/.test(untrustedName);
  const parts = untrustedName.split('/');
  if (!plain || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new DamagedError('the backup holds a member with a forbidden name');
  }
  return untrustedName;
}
