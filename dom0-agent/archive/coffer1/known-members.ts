import { ByteReader } from '../../../shared/byte-reader.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { isZero } from '../../../shared/sparse-data.ts';
import { paddingOf } from '../../../shared/tar-block.ts';
import type { BufferPool } from '../parts/buffer-pool.ts';
import { DamagedPartError, type PartName } from '../parts/part-name.ts';
import { plainHeader } from '../tar/header-block.ts';
import { type StoredMember, membersPool, parseMac } from './member-reader.ts';
import type { Cut } from './coffer1-header.ts';
import { MAC_LENGTH } from './seal-member.ts';

/** A member of which manifest or table say, before it is read, what it is called and how long it is. */
export interface KnownMember {
  readonly part: PartName;
  readonly size: number;
}

/** How long a member `.hmac` is: the MAC in hex, and a line feed. */
const MAC_SIZE = MAC_LENGTH + 1;

/**
 * Reads members whose names and sizes are known, one after the other, each with the `.hmac` that follows it. As there is
 * exactly one way to write the tar, everything in it besides their bytes and MACs is known as well: it is compared, and
 * nothing has to be parsed.
 */
export class KnownMembers implements AsyncDisposable {
  readonly #bytes: ByteReader;
  readonly #pool: BufferPool;

  /** @param input begins at the first of the members */
  constructor(input: AsyncIterable<Buffer>, cut: Cut, signal: AbortSignal) {
    this.#bytes = new ByteReader(input);
    this.#pool = membersPool(cut, signal);
  }

  /** The next member, in a buffer of the pool. Waits for memory if necessary. Throws DamagedError. */
  async take({ part, size }: KnownMember): Promise<StoredMember> {
    const { name, path, index } = part;
    if (!(await this.#isHeader(name, size))) {
      throw new DamagedError(`part ${index} of ${path} is not where it should be in the backup`);
    }
    const buffer = await this.#pool.take(size);
    await this.#bytes.fill(buffer);
    const isPadded = await this.#isPadding(size);
    const mac = isPadded ? await this.#untrustedMac(name) : undefined;
    if (mac === undefined) {
      throw new DamagedPartError(
        part,
        `${name} in the backup is cut short or damaged: no MAC follows it`,
      );
    }
    const release = (): void => this.#pool.give(buffer);
    return { name, size, mac, part, untrustedBytes: buffer, release };
  }

  /** To be called after the last member. Throws DamagedError if anything follows. */
  async end(): Promise<void> {
    if (await this.#bytes.ended()) return;
    throw new DamagedError('the backup contains more than its manifest lists');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#bytes[Symbol.asyncDispose]();
  }

  async #untrustedMac(name: string): Promise<string | undefined> {
    if (!(await this.#isHeader(`${name}.hmac`, MAC_SIZE))) return undefined;
    const mac = parseMac(await this.#bytes.exact(MAC_SIZE));
    return (await this.#isPadding(MAC_SIZE)) ? mac : undefined;
  }

  async #isHeader(name: string, size: number): Promise<boolean> {
    const header = await plainHeader(name, size);
    return (await this.#bytes.exact(header.length)).equals(header);
  }

  async #isPadding(size: number): Promise<boolean> {
    return isZero(await this.#bytes.exact(paddingOf(size)));
  }
}
