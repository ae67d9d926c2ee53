import { DamagedError } from '../../../shared/errors.ts';
import { KiB, formatSize } from '../../../shared/sizes.ts';
import type { OuterMember } from '../tar/outer-member.ts';
import type { BufferPool } from '../parts/buffer-pool.ts';
import {
  LARGEST_OFFICIAL_PART,
  type OfficialFormat,
  type OpenPart,
  type ReadMember,
} from './official-format.ts';
import { DamagedPartError, type PartName, parsePartName } from '../parts/part-name.ts';
import { type NamedDirectories, StoredBounds } from './stored-bounds.ts';

/** The official reader's limit for a member `.hmac`. */
export const LARGEST_MAC = 4 * KiB;
/** More than ten thousand VMs have. Bounds the memory that names take. */
const MOST_FILES = 200_000;

/** A member of the outer tar, not yet read. */
export type UntrustedMember = Pick<OuterMember, 'name' | 'size' | 'bytes' | 'stream'>;

/** Where members come from, one after the other. */
export interface MemberSource {
  next(): Promise<UntrustedMember | undefined>;
}

/** Called for every part, once and in order, when it has been read or skipped. What it throws ends reading. */
export type OnPart = (part: PartName, member: ReadMember) => void;

/** A part in memory, as it is in the archive: its position is checked, its bytes are hostile. */
export interface BufferedPart extends PartName {
  /** Whether it is the last one of its file. */
  readonly isLast: boolean;
  /** See `OpenPart`. */
  open(): Promise<Iterable<Buffer>>;
  /** Returns its memory to the pool. */
  release(): void;
  /** The same, if it may still be in use. */
  abandon(): void;
}

/**
 * Reads an archive part by part: checks that each file's parts are complete, in order, adjacent and not repeated,
 * and that there is no endless number of them. Nothing that it returns is authenticated. Throws DamagedError.
 */
export class PartReader {
  readonly #members: MemberSource;
  readonly #format: OfficialFormat;
  readonly #onPart: OnPart;
  readonly #paths = new Set<string>();
  readonly #bounds = new StoredBounds();
  #next: { readonly part: PartName; readonly member: UntrustedMember } | undefined;
  #former: PartName | undefined;

  /** @param members those after the header and its MAC */
  constructor(members: MemberSource, format: OfficialFormat, onPart: OnPart) {
    this.#members = members;
    this.#format = format;
    this.#onPart = onPart;
  }

  /** From now on only files in these directories are accepted, up to their limits. */
  nameDirectories(named: NamedDirectories): void {
    this.#bounds.nameDirectories(named);
  }

  /** The name of the next part; undefined at the end of the archive. */
  async peek(): Promise<PartName | undefined> {
    if (this.#next === undefined) {
      const member = await this.#members.next();
      if (member === undefined) return undefined;
      this.#next = { part: this.#place(member), member };
    }
    return this.#next.part;
  }

  /** The parts of the files that are wanted. Others are skipped, damaged or not. */
  async *wanted(
    wanted: (path: string) => boolean,
    pool: BufferPool,
    signal: AbortSignal,
  ): AsyncGenerator<BufferedPart, void, undefined> {
    for (let part = await this.peek(); part !== undefined; part = await this.peek()) {
      if (wanted(part.path)) yield await this.#take(pool, signal);
      else await this.#pass();
    }
  }

  /** The parts of the file `path`, if it comes next. */
  async *ofFile(
    path: string,
    pool: BufferPool,
    signal: AbortSignal,
  ): AsyncGenerator<BufferedPart, void, undefined> {
    while ((await this.peek())?.path === path) yield await this.#take(pool, signal);
  }

  /** Buffers the part that `peek` returned. */
  async #take(pool: BufferPool, signal: AbortSignal): Promise<BufferedPart> {
    const { part, member } = this.#peeked();
    const { untrustedBytes, open } = await this.#buffer(part, member, pool, signal);
    const untrustedMac = await this.#end(part, member, untrustedBytes);
    return {
      ...part,
      isLast: (await this.peek())?.path !== part.path,
      open: () => open(untrustedBytes, untrustedMac ?? ''),
      release: () => pool.give(untrustedBytes),
      abandon: () => pool.drop(untrustedBytes),
    };
  }

  /** Skips the part that `peek` returned. */
  async #pass(): Promise<void> {
    const { part, member } = this.#peeked();
    await this.#end(part, member);
  }

  #peeked(): { readonly part: PartName; readonly member: UntrustedMember } {
    if (this.#next === undefined) throw new RangeError('peek must be called first');
    return this.#next;
  }

  /** Reads a part into memory, which is only taken once the first bytes of the part have arrived. */
  async #buffer(
    part: PartName,
    member: UntrustedMember,
    pool: BufferPool,
    signal: AbortSignal,
  ): Promise<{ untrustedBytes: Buffer; open: OpenPart }> {
    const { beginning } = this.#format;
    if (member.size < beginning) {
      throw new DamagedPartError(part, `${part.name} in the backup is cut short`);
    }
    const chunks = member.stream();
    let untrustedBeginning = Buffer.alloc(0);
    while (untrustedBeginning.length < beginning) {
      const next = await chunks.next();
      if (next.done === true) break;
      untrustedBeginning = Buffer.concat([untrustedBeginning, next.value]);
    }
    const open = this.#format.opener(part, untrustedBeginning, signal);
    const untrustedBytes = await pool.take(member.size);
    let filled = untrustedBeginning.copy(untrustedBytes);
    for await (const chunk of chunks) filled += chunk.copy(untrustedBytes, filled);
    return { untrustedBytes, open };
  }

  /** To be called when the part has been read or skipped. Returns its MAC, if that was read. */
  async #end(
    part: PartName,
    { name, size }: UntrustedMember,
    untrustedBytes?: Buffer,
  ): Promise<string | undefined> {
    this.#next = undefined;
    const untrustedMacBytes =
      this.#format.naming === 'enc' ? untrustedBytes : await this.#macMember(part);
    const mac = untrustedMacBytes && this.#format.untrustedMacIn(untrustedMacBytes, part);
    this.#onPart(part, { name, size, mac });
    return mac;
  }

  async #macMember(part: PartName): Promise<Buffer> {
    const member = await this.#members.next();
    if (member?.name === `${part.name}.hmac`) return member.bytes(LARGEST_MAC);
    throw new DamagedPartError(
      part,
      `${part.name} in the backup is cut short or damaged: no MAC follows it`,
    );
  }

  #place(member: UntrustedMember): PartName {
    const isEnc = this.#format.naming === 'enc';
    const part = parsePartName(isEnc ? withoutEnc(member.name) : member.name);
    if (part === undefined) {
      throw new DamagedError(`the backup contains ${member.name}, which is not a part of a file`);
    }
    const former = this.#former?.path === part.path ? this.#former : undefined;
    if (former === undefined) this.#begin(part.path);
    const index = former === undefined ? 0 : former.index + 1;
    if (part.index !== index) {
      throw new DamagedError(
        `part ${index} of ${part.path} is missing in the backup, or not where it should be`,
      );
    }
    if (member.size > LARGEST_OFFICIAL_PART) {
      throw new DamagedError(
        `${member.name} in the backup claims ${formatSize(member.size)}, which no valid part has`,
      );
    }
    this.#bounds.note(part.path, member.size);
    this.#former = part;
    return part;
  }

  #begin(path: string): void {
    if (this.#paths.has(path)) throw new DamagedError(`the backup contains ${path} twice`);
    if (this.#paths.size === MOST_FILES)
      throw new DamagedError('the backup contains too many files');
    this.#paths.add(path);
  }
}

function withoutEnc(name: string): string {
  return name.endsWith('.enc') ? name.slice(0, -'.enc'.length) : '';
}
