import type { ByteSink } from '../../../shared/byte-streams.ts';
import { BLOCK, paddingOf } from '../../../shared/tar-block.ts';
import { plainHeader } from '../tar/header-block.ts';
import { OuterTarWriter } from '../tar/outer-writer.ts';
import { HEADER_NAME } from '../untrusted-header.ts';
import type { ManifestMember } from './manifest.ts';
import { type ArchiveKey, MAC_LENGTH, sealMember } from './seal-member.ts';

/** A new file into which ranges of others in its directory can be copied, without being read here. */
export interface CopyingSink extends ByteSink {
  copy(fileName: string, offset: number, length: number): Promise<void>;
}

/** Where the tar header of a member begins in a file of the directory. */
export interface MemberPlace {
  readonly fileName: string;
  readonly offset: number;
}

/** Writes a file of a series member by member, each followed by its MAC. */
export class MemberWriter {
  /** The members that were written, except parts of volumes, in order. */
  readonly members: ManifestMember[] = [];
  readonly #tar: OuterTarWriter;
  readonly #key: ArchiveKey;

  constructor(output: ByteSink, key: ArchiveKey) {
    this.#tar = new OuterTarWriter(output);
    this.#key = key;
  }

  /** The header is authenticated like every member, and not encrypted. */
  async header(bytes: Buffer): Promise<void> {
    await this.#seal(HEADER_NAME, bytes, { ...this.#key, encrypted: false });
  }

  /** Encrypts the bytes in place, and writes them. Returns their MAC in hex. */
  async member(name: string, bytes: Buffer): Promise<string> {
    return this.#seal(name, bytes, this.#key);
  }

  /** The same for a part of a volume, which the manifest does not list. */
  async part(name: string, bytes: Buffer): Promise<void> {
    await this.#store(name, bytes, this.#key);
  }

  /** Writes a part that has already been sealed with the keys of this file. */
  async sealedPart(name: string, bytes: Buffer, mac: string): Promise<void> {
    await this.#tar.member(name, bytes);
    await this.#tar.member(`${name}.hmac`, Buffer.from(`${mac}\n`));
  }

  async end(): Promise<void> {
    await this.#tar.end();
  }

  async #seal(name: string, bytes: Buffer, key: ArchiveKey): Promise<string> {
    const mac = await this.#store(name, bytes, key);
    this.members.push({ name, size: bytes.length, mac });
    return mac;
  }

  async #store(name: string, bytes: Buffer, key: ArchiveKey): Promise<string> {
    const mac = await sealMember(key, name, bytes);
    await this.sealedPart(name, bytes, mac);
    return mac;
  }
}

/** A MemberWriter that can also copy members of other files. */
export class CopyingWriter extends MemberWriter {
  readonly #output: CopyingSink;

  constructor(output: CopyingSink, key: ArchiveKey) {
    super(output, key);
    this.#output = output;
  }

  /** Copies a member of `size` bytes and its MAC as they are: only the name in the tar changes. */
  async copy(name: string, size: number, { fileName, offset }: MemberPlace): Promise<void> {
    const content = size + paddingOf(size);
    await this.#output.write(await plainHeader(name, size));
    await this.#output.copy(fileName, offset + BLOCK, content);
    await this.#output.write(await plainHeader(`${name}.hmac`, MAC_LENGTH + 1));
    const mac = offset + BLOCK + content + BLOCK;
    await this.#output.copy(fileName, mac, MAC_LENGTH + 1 + paddingOf(MAC_LENGTH + 1));
  }
}
