import { DamagedError } from '../../../shared/errors.ts';
import { formatSize } from '../../../shared/sizes.ts';
import { BufferPool } from '../parts/buffer-pool.ts';
import { DamagedPartError, type PartName, parsePartName } from '../parts/part-name.ts';
import type { OuterMember } from '../tar/outer-member.ts';
import type { OuterTarReader } from '../tar/outer-reader.ts';
import { type Cut, mostStored } from './coffer1-header.ts';
import { LARGEST_MANIFEST, MANIFEST_PATH, type ManifestMember } from './manifest.ts';
import { type ArchiveKey, MAC_LENGTH } from './seal-member.ts';

/** A member as it is stored in the archive: not authenticated, only the form of its name has been checked. */
export interface StoredMember extends ManifestMember {
  readonly part: PartName;
  /** For a part that is in another file, or was first stored in one: what its keys are derived from. */
  readonly sealedWith?: ArchiveKey;
  readonly untrustedBytes: Buffer;
  /** To be called when the bytes are no longer needed: the memory goes to another member. */
  readonly release: () => void;
}

/** How many members are in memory: one is decrypted, two are or will be authenticated, two wait, one is read. */
const AT_ONCE = 6;

/** Memory for the members that are being read. */
export function membersPool(cut: Cut, signal: AbortSignal): BufferPool {
  return new BufferPool(AT_ONCE * mostStored(cut), signal);
}

/** Reads the members of a coffer-1 archive in pairs: each with the `.hmac` that follows it. */
export class MemberReader {
  readonly #tar: OuterTarReader;
  readonly #cut: Cut;
  readonly #signal: AbortSignal;
  #pool: BufferPool;
  #lent = 0;
  #next: { readonly member: OuterMember; readonly part: PartName } | undefined;

  constructor(tar: OuterTarReader, cut: Cut, signal: AbortSignal) {
    this.#tar = tar;
    this.#cut = cut;
    this.#signal = signal;
    this.#pool = membersPool(cut, signal);
  }

  /** To be called between files: a consumer that left a file early has not released its members. */
  reclaimMemory(): void {
    if (this.#lent > 0) this.#pool = membersPool(this.#cut, this.#signal);
    this.#lent = 0;
  }

  /** The name of the next part; undefined at the end of the archive. */
  async peek(): Promise<PartName | undefined> {
    if (this.#next !== undefined) return this.#next.part;
    const member = await this.#tar.next();
    if (member === undefined) return undefined;
    const part = parsePartName(member.name);
    if (part === undefined) {
      throw new DamagedError(`the backup contains ${member.name}, which is not a part of a file`);
    }
    const most = part.path === MANIFEST_PATH ? LARGEST_MANIFEST : mostStored(this.#cut);
    if (member.size > most) {
      throw new DamagedError(
        `${member.name} in the backup claims ${formatSize(member.size)}, which no valid part has`,
      );
    }
    this.#next = { member, part };
    return part;
  }

  /** The member that `peek` announced, in a buffer of the pool. Waits for memory if necessary. */
  async take(): Promise<StoredMember> {
    if (this.#next === undefined) throw new RangeError('peek comes first');
    const { member, part } = this.#next;
    this.#next = undefined;
    const pool = this.#pool;
    const buffer = await pool.take(member.size);
    this.#lent++;
    const untrustedBytes = await member.bytesIn(buffer);
    const release = (): void => {
      pool.give(buffer);
      if (pool === this.#pool) this.#lent--;
    };
    const mac = await this.#untrustedMac(part);
    return { name: part.name, size: member.size, mac, part, untrustedBytes, release };
  }

  async #untrustedMac(part: PartName): Promise<string> {
    const member = await this.#tar.next();
    const isThere = member?.name === `${part.name}.hmac`;
    const untrustedMac = isThere ? parseMac(await member.bytes(MAC_LENGTH + 1)) : undefined;
    if (untrustedMac !== undefined) return untrustedMac;
    throw new DamagedPartError(
      part,
      `${part.name} in the backup is cut short or damaged: no MAC follows it`,
    );
  }
}

/** The MAC in a member `.hmac`, in hex; undefined if it does not have the form of one. */
export function parseMac(untrustedBytes: Buffer): string | undefined {
  const untrustedText = untrustedBytes.toString('latin1');
  return /^[0-9a-f]{128}\n$/.test(untrustedText) ? untrustedText.slice(0, -1) : undefined;
}

/**
 * The members of the path `path`, which must come next, numbered from 0 on without a gap. `onMember` is called for
 * each. Throws DamagedError.
 */
export async function* membersOfPath(
  reader: MemberReader,
  path: string,
  onMember: (member: ManifestMember) => void,
): AsyncGenerator<StoredMember, void, undefined> {
  for (let index = 0; ; index++) {
    const part = await reader.peek();
    if (part?.path !== path && index > 0) return;
    if (part?.path !== path || part.index !== index) {
      throw new DamagedError(`part ${index} of ${path} is not where it should be in the backup`);
    }
    const member = await reader.take();
    onMember(member);
    yield member;
  }
}
