import { DamagedError } from '../../../shared/errors.ts';
import { DamagedPartError } from '../parts/damaged-part-error.ts';
import type { OuterMember, OuterTarReader } from '../tar/outer-reader.ts';
import { PartBuffers } from '../parts/part-buffers.ts';
import { parsePartName } from '../parts/part-names.ts';
import { LARGEST_MANIFEST, MANIFEST_PATH, type ManifestMember } from './manifest.ts';
import { MAC_LENGTH } from './seal-member.ts';

/** A part as it lies in the archive: nothing of it is vouched for but the form of its names. */
export interface StoredPart extends ManifestMember {
  readonly untrustedStored: Buffer;
  /** To be called when the bytes are no longer needed: the memory goes to another part. */
  readonly release: () => void;
}

/** While one part is decrypted, the MAC of the next is checked; then there is memory to read another. */
const PARTS_AT_ONCE = 2;

/** Which file and which part of it a member is. */
export interface PartPlace {
  readonly path: string;
  readonly index: number;
}

/** Reads the members `<part>` and `<part>.hmac` in pairs. */
export class StoredParts {
  readonly #tar: OuterTarReader;
  readonly #partSize: number;
  #buffers: PartBuffers;
  #next: { member: OuterMember; place: PartPlace } | undefined;

  /** `partSize` is the most bytes that a part, but for the manifest's, may have. */
  constructor(tar: OuterTarReader, partSize: number) {
    this.#tar = tar;
    this.#partSize = partSize;
    this.#buffers = new PartBuffers(partSize, PARTS_AT_ONCE);
  }

  /** To be called between files: whoever left a file early has not released its parts. */
  reclaimMemory(): void {
    if (!this.#buffers.areAllBack) this.#buffers = new PartBuffers(this.#partSize, PARTS_AT_ONCE);
  }

  /** What comes next; undefined at the end of the archive. */
  async peek(): Promise<PartPlace | undefined> {
    if (this.#next !== undefined) return this.#next.place;
    const member = await this.#tar.next();
    if (member === undefined) return undefined;
    const place = parsePartName(member.name);
    if (place === undefined) {
      throw new DamagedError(`the backup holds ${member.name}, which is no part of a file`);
    }
    this.#next = { member, place };
    return place;
  }

  /** The part that `peek` told of. */
  async take(): Promise<StoredPart> {
    const { member, place } = this.#peeked();
    if (place.path === MANIFEST_PATH) {
      const untrustedStored = await member.bytes(LARGEST_MANIFEST);
      return { ...(await this.#withMac(member)), untrustedStored, release: () => undefined };
    }
    const buffers = this.#buffers;
    const buffer = await buffers.take();
    const untrustedStored = await member.bytesIn(buffer);
    const release = (): void => buffers.give(buffer);
    return { ...(await this.#withMac(member)), untrustedStored, release };
  }

  /** Passes over the part that `peek` told of. */
  async pass(): Promise<ManifestMember> {
    const { member, place } = this.#peeked();
    if (place.path !== MANIFEST_PATH && member.size > this.#partSize) {
      throw new DamagedError(`${member.name} in the backup is larger than a part of it can be`);
    }
    return this.#withMac(member);
  }

  #peeked(): { member: OuterMember; place: PartPlace } {
    if (this.#next === undefined) throw new RangeError('peek comes first');
    return this.#next;
  }

  async #withMac({ name, size }: OuterMember): Promise<ManifestMember> {
    this.#next = undefined;
    const member = await this.#tar.next();
    const untrustedMac = member?.name === `${name}.hmac` ? await readMac(member) : undefined;
    if (untrustedMac === undefined) {
      throw new DamagedPartError(name, 'is cut short or damaged: no code follows it');
    }
    return { name, size, mac: untrustedMac };
  }
}

/** The text of a `.hmac` member, if it has the form of a MAC. */
export async function readMac(member: OuterMember): Promise<string | undefined> {
  const untrustedText = (await member.bytes(MAC_LENGTH + 1)).toString('latin1');
  return /^[0-9a-f]{128}\n$/.test(untrustedText) ? untrustedText.slice(0, -1) : undefined;
}

/**
 * The parts of the file `path`, which come next, in ascending order and without a gap. `onPart` is
 * told of each.
 */
export async function* partsOfNextFile(
  stored: StoredParts,
  path: string,
  onPart: (part: ManifestMember) => void,
): AsyncGenerator<StoredPart, void, undefined> {
  for (let index = 0; ; index++) {
    const place = await stored.peek();
    if (place?.path !== path && index > 0) return;
    if (place?.path !== path || place.index !== index) {
      throw new DamagedError(`part ${index} of ${path} is not where it should be in the backup`);
    }
    const part = await stored.take();
    onPart(part);
    yield part;
  }
}

/** Passes over what is left of the file `path`. */
export async function passFile(
  stored: StoredParts,
  path: string,
  onPart: (part: ManifestMember) => void,
): Promise<void> {
  while ((await stored.peek())?.path === path) onPart(await stored.pass());
  stored.reclaimMemory();
}
