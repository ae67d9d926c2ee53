import { DamagedError } from '../../../shared/errors.ts';
import { KiB, MiB, formatSize } from '../../../shared/sizes.ts';
import type { ArchiveInput } from '../archive.ts';
import { ByteReader } from '../byte-reader.ts';
import { BLOCK, LONGEST_NAME, encodeBlockHeader, paddingOf, parseBlockHeader } from './block.ts';

/** `tar` fills its last record with zero blocks, 10 KiB by default; more than this is an attack. */
const MOST_ZEROS = 1 * MiB;
/** The pax headers of official backups hold three times of day. */
const LARGEST_PAX_HEADER = 4 * KiB;
/** How much behind the end of a tar is looked at. */
const LOOKED_AT_BEHIND = 64 * MiB;
/** Below this, reading on is cheaper than asking the other side to seek. */
const SEEK_WORTHWHILE = 1 * MiB;

/** A member of the outer tar. Its name is checked, its size plausible; its bytes are hostile. */
export interface OuterMember {
  readonly name: string;
  readonly size: number;
  /** Where the member's bytes begin in the archive. */
  readonly dataOffset: number;
  /** The whole member. Throws DamagedError when it is larger than `limit`, before reading it. */
  bytes(limit: number): Promise<Buffer>;
  /** The same, at the beginning of `buffer`, whose length is the limit. */
  bytesIn(buffer: Buffer): Promise<Buffer>;
  /** The member's bytes as they come. */
  stream(): AsyncIterable<Buffer>;
}

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
 * Reads the members of the outer tar one after the other. What the consumer leaves of a member is
 * passed over, by seeking where that is possible.
 */
export class OuterTarReader implements AsyncDisposable {
  readonly #input: ArchiveInput;
  readonly #to: number | undefined;
  #canonical: boolean;
  /** Whether every header so far was as `OuterTarWriter` writes it. */
  #canonicalSoFar = true;
  #bytes: ByteReader;
  /** Offset in the archive at which `#bytes` began. */
  #base: number;
  /** Offset at which the present member's bytes end. */
  #memberEnd: number;
  #ended = false;

  constructor(input: ArchiveInput, options: OuterTarOptions = {}) {
    this.#input = input;
    this.#to = options.to;
    this.#canonical = options.canonical ?? false;
    this.#base = options.from ?? 0;
    this.#memberEnd = this.#base;
    this.#bytes = new ByteReader(input.read(this.#base, this.#to));
  }

  /** Offset at which the present member, padding included, ends. */
  get memberEnd(): number {
    return this.#memberEnd + paddingOf(this.#memberEnd);
  }

  /** From now on as with the option `canonical`; throws DamagedError if it was not so till now. */
  requireCanonical(): void {
    this.#canonical = true;
    if (!this.#canonicalSoFar) {
      throw new DamagedError('the backup is damaged: a tar header is not as coffer writes it');
    }
  }

  /** The next member, or undefined at the end. Throws DamagedError. */
  async next(): Promise<OuterMember | undefined> {
    if (this.#ended) return undefined;
    await this.#passMember();
    const untrustedBlock = await this.#nextHeaderBlock();
    this.#ended = untrustedBlock === undefined;
    if (untrustedBlock === undefined) return undefined;
    this.#canonicalSoFar &&= isCanonical(untrustedBlock);
    if (this.#canonical) this.requireCanonical();
    const untrustedHeader = await this.#fileHeader(untrustedBlock);
    const name = checkedName(untrustedHeader.name);
    const dataOffset = this.#position;
    this.#memberEnd = dataOffset + untrustedHeader.size;
    return this.#member(name, untrustedHeader.size, dataOffset);
  }

  /**
   * What follows the end of a canonical tar, once `next` has given undefined. Zeros are nothing: a device, or
   * `dd conv=sync`, fills up with them. No more is looked at than LOOKED_AT_BEHIND, as it may have no end.
   */
  async behindEnd(): Promise<BehindEnd> {
    const end = this.#position;
    let isNothing = true;
    while (this.#position - end < LOOKED_AT_BEHIND && !(await this.#bytes.ended())) {
      const untrustedBytes = await this.#bytes.atMost(LOOKED_AT_BEHIND);
      isNothing = isNothing && isZero(untrustedBytes);
      if (!isNothing && this.#input.size !== undefined) break;
    }
    if (isNothing) return { end, bytes: 0, orMore: false };
    const isCounted = this.#input.size !== undefined || (await this.#bytes.ended());
    return { end, bytes: (this.#input.size ?? this.#position) - end, orMore: !isCounted };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#bytes[Symbol.asyncDispose]();
  }

  get #position(): number {
    return this.#base + this.#bytes.position;
  }

  /** Goes to the end of the present member and checks that zeros fill its last block. */
  async #passMember(): Promise<void> {
    if (this.#position >= this.memberEnd) return;
    await this.#goTo(this.#memberEnd);
    const untrustedPadding = await this.#bytes.exact(paddingOf(this.#memberEnd));
    if (!isZero(untrustedPadding)) {
      throw new DamagedError('the backup is damaged: something stands between its members');
    }
  }

  async #goTo(offset: number): Promise<void> {
    const distance = offset - this.#position;
    if (distance < SEEK_WORTHWHILE || !this.#input.seekable) {
      await this.#bytes.skip(distance);
      return;
    }
    if (this.#input.size !== undefined && offset > this.#input.size) {
      throw new DamagedError('the backup ends in the middle of a member: it is cut short');
    }
    await this.#bytes[Symbol.asyncDispose]();
    this.#base = offset;
    this.#bytes = new ByteReader(this.#input.read(offset, this.#to));
  }

  async #nextHeaderBlock(): Promise<Buffer | undefined> {
    if (this.#canonical) return this.#nextCanonicalHeaderBlock();
    for (let zeros = 0; zeros <= MOST_ZEROS; zeros += BLOCK) {
      if (await this.#bytes.ended()) return undefined;
      const untrustedBlock = await this.#bytes.exact(BLOCK);
      if (!isZero(untrustedBlock)) return untrustedBlock;
    }
    throw new DamagedError('the backup goes on with nothing but zeros');
  }

  /** The tar ends with two blocks of zeros; what was asked for of it (`to`), with its last member. */
  async #nextCanonicalHeaderBlock(): Promise<Buffer | undefined> {
    if (this.#to !== undefined && (await this.#bytes.ended())) return undefined;
    const untrustedBlock = await this.#bytes.exact(BLOCK);
    if (!isZero(untrustedBlock)) return untrustedBlock;
    if (isZero(await this.#bytes.exact(BLOCK))) return undefined;
    throw new DamagedError('the backup is damaged: something stands between its members');
  }

  /** A file's header, after the pax header that may stand before it. */
  async #fileHeader(untrustedBlock: Buffer): Promise<UntrustedHeader> {
    const untrustedHeader = parseBlockHeader(untrustedBlock);
    if (untrustedHeader.type === 'file') return untrustedHeader;
    await this.#checkPaxHeader(untrustedHeader.size);
    const untrustedNext = parseBlockHeader(await this.#bytes.exact(BLOCK));
    if (untrustedNext.type === 'file') return untrustedNext;
    throw new DamagedError('the backup has two pax headers in a row');
  }

  /** Times may stand in a pax header; a name or a size there would make the tar ambiguous. */
  async #checkPaxHeader(untrustedSize: number): Promise<void> {
    if (untrustedSize > LARGEST_PAX_HEADER) {
      throw new DamagedError('the backup has an oversized pax header');
    }
    const padded = await this.#bytes.exact(untrustedSize + paddingOf(untrustedSize));
    const untrustedRecords = padded.toString('latin1', 0, untrustedSize).split('\n').slice(0, -1);
    if (!untrustedRecords.every((record) => /^[0-9]+ [mac]time=[0-9.-]*$/.test(record))) {
      throw new DamagedError('the backup has a pax header that no backup has');
    }
  }

  #member(name: string, size: number, dataOffset: number): OuterMember {
    return {
      name,
      size,
      dataOffset,
      bytes: async (limit) => {
        refuseLarger(name, size, limit);
        const bytes = await this.#bytes.exact(size);
        await this.#passMember();
        return bytes;
      },
      bytesIn: async (buffer) => {
        refuseLarger(name, size, buffer.length);
        const bytes = buffer.subarray(0, size);
        await this.#bytes.fill(bytes);
        await this.#passMember();
        return bytes;
      },
      stream: () => this.#bytes.chunks(size),
    };
  }
}

interface UntrustedHeader {
  readonly name: string;
  readonly size: number;
}

function refuseLarger(name: string, untrustedSize: number, limit: number): void {
  if (untrustedSize <= limit) return;
  throw new DamagedError(
    `the backup's member ${name} claims ${formatSize(untrustedSize)}, more than a sound one can have`,
  );
}

/** Whether a header is, to the byte, what coffer writes for its name and size. */
function isCanonical(untrustedBlock: Buffer): boolean {
  const { name, size, type } = parseBlockHeader(untrustedBlock);
  if (type !== 'file' || name.length > LONGEST_NAME) return false;
  return encodeBlockHeader(name, size).equals(untrustedBlock);
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

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}
