import { DamagedError } from '../../../shared/errors.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import type { OuterMember, OuterTarReader } from '../tar/outer-reader.ts';
import { parsePartName } from './part-names.ts';
import { type NamedDirectories, StoredBounds } from './stored-bounds.ts';

/** Official tools cut every 100 MiB, and encryption adds a little; a part is held in memory whole. */
export const LARGEST_PART = 128 * MiB;
/** The official reader's limit for a member `.hmac`. */
const LARGEST_MAC = 4 * KiB;
/** Ten thousand VMs have not as many. It bounds the memory that their names take. */
const MOST_FILES = 200_000;

/** A part of a file, as the outer tar has it: its place is checked, its bytes are hostile. */
export interface WalkedPart {
  /** The file's, without the part's number. */
  readonly path: string;
  /** The part's: path and number, without `.enc`. */
  readonly name: string;
  readonly member: OuterMember;
}

/** How the members of a format are named: parts `<part>.enc`, or pairs `<part>` and `<part>.hmac`. */
export type PartNaming = 'enc' | 'hmac';

/**
 * Walks over the parts of an official archive (formats 2 to 4), which has no manifest: sees to it that
 * each file's parts are all there, in order, in one run, and none twice, and that they do not go on without
 * end. Throws DamagedError.
 */
export class PartWalk {
  readonly #tar: OuterTarReader;
  readonly #naming: PartNaming;
  readonly #onPart: (part: WalkedPart) => void;
  readonly #paths = new Set<string>();
  readonly #bounds = new StoredBounds();
  #first: OuterMember | undefined;
  #path: string | undefined;
  #index = 0;
  #ended = false;
  #put: WalkedPart | undefined;
  /** The part whose MAC comes next. */
  #withoutMac: WalkedPart | undefined;

  /**
   * `tar` stands behind the header and its MAC; or behind `first`, a member not yet read. `onPart` is told
   * of every part, once and in order.
   */
  constructor(
    tar: OuterTarReader,
    naming: PartNaming,
    first?: OuterMember,
    onPart: (part: WalkedPart) => void = () => undefined,
  ) {
    this.#tar = tar;
    this.#naming = naming;
    this.#onPart = onPart;
    this.#first = first;
  }

  /** From now on only what these directories may hold is walked over. Throws DamagedError. */
  nameDirectories(named: NamedDirectories): void {
    this.#bounds.nameDirectories(named);
  }

  /** The next part, or undefined at the end. What was left unread of the one before is passed over. */
  async next(): Promise<WalkedPart | undefined> {
    const put = this.#put;
    this.#put = undefined;
    if (put !== undefined) return put;
    if (this.#withoutMac !== undefined) await this.untrustedMac();
    const member = this.#ended ? undefined : (this.#first ?? (await this.#tar.next()));
    this.#first = undefined;
    this.#ended = member === undefined;
    if (member === undefined) return undefined;
    const part = this.#place(member);
    this.#onPart(part);
    if (this.#naming === 'hmac') this.#withoutMac = part;
    return part;
  }

  /** The next part, if it belongs to the file `path`; undefined, and nothing passed over, if not. */
  async nextOf(path: string): Promise<WalkedPart | undefined> {
    const part = await this.next();
    if (part?.path === path) return part;
    this.#put = part;
    return undefined;
  }

  /** The text that stands in the member `.hmac` of the part that `next` gave last. */
  async untrustedMac(): Promise<string> {
    const part = this.#withoutMac;
    if (part === undefined) throw new RangeError('no part comes before this MAC');
    this.#withoutMac = undefined;
    const member = await this.#tar.next();
    if (member?.name !== `${part.member.name}.hmac`) {
      throw new DamagedError(
        `the backup is damaged or cut short: ${part.name} has no MAC behind it`,
      );
    }
    return (await member.bytes(LARGEST_MAC)).toString('latin1');
  }

  #place(member: OuterMember): WalkedPart {
    const name = this.#naming === 'enc' ? withoutEnc(member.name) : member.name;
    const place = parsePartName(name);
    if (place === undefined || !isSoundPath(place.path)) {
      throw new DamagedError(`the backup holds ${member.name}, which is no part of a file`);
    }
    if (place.path !== this.#path) this.#begin(place.path);
    if (place.index !== this.#index) {
      throw new DamagedError(
        `part ${this.#index} of ${place.path} is missing in the backup, or not where it should be`,
      );
    }
    this.#index += 1;
    this.#bounds.note(place.path, member.size);
    return { path: place.path, name, member };
  }

  #begin(path: string): void {
    if (this.#paths.has(path)) throw new DamagedError(`the backup holds ${path} twice`);
    if (this.#paths.size === MOST_FILES) throw new DamagedError('the backup holds too many files');
    this.#paths.add(path);
    this.#path = path;
    this.#index = 0;
  }
}

function withoutEnc(name: string): string {
  return name.endsWith('.enc') ? name.slice(0, -'.enc'.length) : '';
}

/** The outer tar has checked all but what stands before the part's number: `vm1/..` of `vm1/...000`. */
function isSoundPath(path: string): boolean {
  return !/(^|\/)(\.\.)?$/.test(path);
}
