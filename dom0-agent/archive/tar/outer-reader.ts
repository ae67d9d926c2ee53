import type { ByteSource } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import { isZero } from '../../../shared/sparse-data.ts';
import { paddingOf } from '../../../shared/tar-block.ts';
import { Extraction } from './outer-extraction.ts';
import { OuterMember, checkOfficialGap, isCanonical } from './outer-member.ts';

/** Below this number of bytes, reading on is cheaper than seeking. */
const SEEK_WORTHWHILE = 1 * MiB;
/** How many bytes after the end of a tar are examined. */
export const EXAMINED_AFTER_END = 64 * MiB;

/** What follows the end of a tar. */
export interface BehindEnd {
  /** Where the tar ends in the archive. */
  readonly end: number;
  /** How many bytes follow, if they are not all zeros; otherwise 0. */
  readonly bytes: number;
  /** Whether there may be even more. */
  readonly orMore: boolean;
}

interface OuterTarOptions {
  /** Where to begin and end, both between members; by default the whole archive. */
  readonly from?: number;
  readonly to?: number;
  /**
   * Whether every byte must be as `OuterTarWriter` writes it, as in coffer-1. In official archives there are zero
   * blocks between members, and headers with times and owners.
   */
  readonly canonical?: boolean;
}

/**
 * Reads the members of the outer tar one after the other, with tar-stream's `extract`. What the consumer does
 * not read of a member is skipped, by seeking if possible.
 */
export class OuterTarReader implements AsyncDisposable {
  readonly #input: ByteSource;
  readonly #to: number | undefined;
  #canonical: boolean;
  /** Whether every header so far was as `OuterTarWriter` writes it. */
  #canonicalSoFar = true;
  #extraction: Extraction;
  #member: OuterMember | undefined;
  #ended = false;

  constructor(input: ByteSource, options: OuterTarOptions = {}) {
    this.#input = input;
    this.#to = options.to;
    this.#canonical = options.canonical ?? false;
    this.#extraction = this.#extractionFrom(options.from ?? 0);
  }

  /** Turns on the option `canonical`. Throws DamagedError if the archive has not been canonical so far. */
  requireCanonical(): void {
    this.#canonical = true;
    this.#extraction.stopsAtEnd = true;
    if (!this.#canonicalSoFar) {
      throw new DamagedError('the backup is damaged: a tar header is not as coffer writes it');
    }
  }

  /** The next member, or undefined at the end. Throws DamagedError. */
  async next(): Promise<OuterMember | undefined> {
    if (this.#ended) return undefined;
    if (this.#member !== undefined) await this.#pass(this.#member);
    const entry = await this.#extraction.next();
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
   * What follows the end of a canonical tar, once `next` has returned undefined. Zeros do not count: devices and
   * `dd conv=sync` add them. No more than EXAMINED_AFTER_END is examined, as there may be no end.
   */
  async behindEnd(): Promise<BehindEnd> {
    const { size } = this.#input;
    const end = this.#extraction.tarEnd;
    let position = this.#member?.dataEnd ?? 0;
    let isNothing = true;
    let isCounted = true;
    for await (const untrustedBytes of this.#extraction.rest()) {
      isNothing &&= isZero(untrustedBytes);
      position += untrustedBytes.length;
      isCounted = position - end < EXAMINED_AFTER_END && (isNothing || size === undefined);
      if (!isCounted) break;
    }
    if (isNothing) return { end, bytes: 0, orMore: false };
    return { end, bytes: (size ?? position) - end, orMore: size === undefined && !isCounted };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#extraction[Symbol.asyncDispose]();
  }

  async #pass(member: OuterMember): Promise<void> {
    const { dataEnd } = member;
    if (member.left < SEEK_WORTHWHILE || !this.#input.seekable) return member.skip();
    if (this.#input.size !== undefined && dataEnd > this.#input.size) {
      throw new DamagedError('the backup ends in the middle of a member: it is cut short');
    }
    await this.#extraction[Symbol.asyncDispose]();
    this.#extraction = this.#extractionFrom(dataEnd);
  }

  #extractionFrom(offset: number): Extraction {
    const extraction = new Extraction(this.#input, offset, this.#to);
    extraction.stopsAtEnd = this.#canonical;
    return extraction;
  }

  /** The tar ends with two blocks of zeros; a range of it (`to`) ends with its last member. */
  async #checkEnd(): Promise<void> {
    if (this.#extraction.tarEnded && this.#to === undefined) return;
    if (this.#to !== undefined) {
      let length = 0;
      for await (const untrustedBytes of this.#extraction.rest()) {
        length += untrustedBytes.length;
        if (!isZero(untrustedBytes)) length = Infinity;
      }
      if (length === paddingOf(this.#member?.dataEnd ?? 0)) return;
    }
    throw new DamagedError('the backup does not end where it should: it is cut short, or damaged');
  }
}
