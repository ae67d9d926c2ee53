import { DamagedError } from '../../../shared/errors.ts';
import { KiB, formatSize } from '../../../shared/sizes.ts';
import { isZero } from '../../../shared/sparse-data.ts';
import { BLOCK } from '../../../shared/tar-block.ts';
import { LONGEST_NAME, plainHeader } from './header-block.ts';
import type { UntrustedEntry } from './outer-extraction.ts';

/** The pax headers of official backups contain three timestamps. */
const LARGEST_PAX_HEADER = 4 * KiB;

/** A member of the outer tar. Its name is checked; its bytes are hostile. */
export class OuterMember {
  readonly name: string;
  readonly size: number;
  /** Where its bytes end in the archive. */
  readonly dataEnd: number;
  readonly #nextChunk: UntrustedEntry['nextChunk'];
  #left: number;

  /** Throws DamagedError for a member that is not a plain file, or has a forbidden name. */
  constructor({ untrustedHeader, dataEnd, nextChunk }: UntrustedEntry) {
    if (untrustedHeader.type !== 'file') {
      throw new DamagedError(
        'the backup contains a member that is not a plain file, which no valid backup has',
      );
    }
    this.name = checkedName(untrustedHeader.name);
    this.size = untrustedHeader.size;
    this.dataEnd = dataEnd;
    this.#left = this.size;
    this.#nextChunk = nextChunk;
  }

  /** How many of its bytes are still unread. */
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

  /** Reads the rest of it, so that the next member can be read. */
  async skip(): Promise<void> {
    const stream = this.stream();
    while ((await stream.next()).done !== true) continue;
    if (this.size > 0) await this.#nextChunk();
  }

  #refuseLarger(limit: number): void {
    if (this.size <= limit) return;
    throw new DamagedError(
      `the backup's member ${this.name} claims ${formatSize(this.size)}, more than a valid one can have`,
    );
  }
}

/** A relative path of printable ASCII, no part of it `.` or `..`: all that any backup uses. */
function checkedName(untrustedName: string): string {
  const plain = /^[\x20-\x7e]+$/.test(untrustedName);
  const parts = untrustedName.split('/');
  if (!plain || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new DamagedError('the backup contains a member with a forbidden name');
  }
  return untrustedName;
}

/** Whether the bytes before a member are exactly what coffer writes. */
export async function isCanonical(
  { untrustedGap, padding }: UntrustedEntry,
  { name, size }: OuterMember,
): Promise<boolean> {
  if (untrustedGap.length !== padding + BLOCK || name.length > LONGEST_NAME) return false;
  const header = await plainHeader(name, size);
  return isZero(untrustedGap.subarray(0, padding)) && untrustedGap.subarray(padding).equals(header);
}

/**
 * Checks the bytes before a member of an official archive: zero blocks, and a pax header with timestamps. A name
 * or a size in that would make the tar ambiguous. Throws DamagedError.
 */
export function checkOfficialGap(
  { untrustedGap, padding, untrustedHeader }: UntrustedEntry,
  { name }: OuterMember,
): void {
  const ownHeader = untrustedGap.subarray(-BLOCK);
  let start = untrustedGap.findIndex((byte) => byte !== 0);
  start -= (start - padding) % BLOCK;
  const paxSize = untrustedGap.length - BLOCK - start;
  const keywords = Object.keys(untrustedHeader.pax ?? {});
  if (
    start < padding ||
    ownHeader.toString('latin1', 0, name.length + 1) !== `${name}\0` ||
    paxSize > BLOCK + LARGEST_PAX_HEADER ||
    paxSize > 0 !== keywords.length > 0 ||
    !keywords.every((keyword) => /^[mac]time$/.test(keyword))
  ) {
    throw new DamagedError('the backup is damaged: there is something between its members');
  }
}
