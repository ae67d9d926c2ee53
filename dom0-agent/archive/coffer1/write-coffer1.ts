import { randomBytes } from 'node:crypto';
import type { ByteSink } from '../../../shared/byte-streams.ts';
import { FailedError } from '../../../shared/errors.ts';
import type { FileToArchive } from '../archive.ts';
import { compressAhead } from '../compress/compress-ahead.ts';
import { type CompressionFilter, compress } from '../compress/compression.ts';
import { BufferPool } from '../parts/buffer-pool.ts';
import { type FilledBuffer, cutIntoBuffers } from '../parts/cut-into-buffers.ts';
import { LARGEST_MANIFEST, Manifest } from '../parts/manifest.ts';
import { type PartName, partName } from '../parts/part-name.ts';
import { prefetch } from '../parts/prefetch.ts';
import { OuterTarWriter } from '../tar/outer-writer.ts';
import { HEADER_NAME } from '../untrusted-header.ts';
import { MANIFEST } from './coffer1-format.ts';
import { type Coffer1Header, SALT_LENGTH, formatHeader } from './coffer1-header.ts';
import { deriveRootKey } from './keys.ts';
import type { ScryptCost } from './scrypt-cost.ts';
import { type ArchiveKey, sealMember } from './seal-member.ts';

export interface Coffer1Options {
  /** Wiped once the key is derived. */
  readonly passphrase: Buffer;
  readonly encrypted: boolean;
  readonly compressionFilter: CompressionFilter | undefined;
  readonly kdf: ScryptCost;
  /** Bytes; `DEFAULT_PART_SIZE` but in tests. */
  readonly partSize: number;
}

/** How many parts are in memory: at the same time one is filled, one sealed and one written. */
const PARTS_AT_ONCE = 3;

/** A part of a file, and its buffer, which is reused when the part is written. */
type Part = PartName & FilledBuffer;
type SealedPart = Part & { readonly mac: string };

/**
 * Writes a coffer-1 archive of `files`, in one pass: docs/archive-format.md. Reading, compressing,
 * sealing and writing go on at the same time, and with the derivation of the key.
 */
export async function writeCoffer1(
  files: AsyncIterable<FileToArchive>,
  output: ByteSink,
  options: Coffer1Options,
  signal: AbortSignal,
): Promise<void> {
  await new Coffer1Writing(output, options, signal).write(files);
}

class Coffer1Writing {
  readonly #tar: OuterTarWriter;
  readonly #options: Coffer1Options;
  readonly #signal: AbortSignal;
  /** Stops waiting for memory that will not be given back. */
  readonly #stop = new AbortController();
  readonly #pool: BufferPool;
  readonly #manifest = new Manifest(MANIFEST);

  constructor(output: ByteSink, options: Coffer1Options, signal: AbortSignal) {
    this.#tar = new OuterTarWriter(output);
    this.#options = options;
    this.#signal = signal;
    this.#pool = new BufferPool(PARTS_AT_ONCE * options.partSize, this.#stop.signal);
  }

  async write(files: AsyncIterable<FileToArchive>): Promise<void> {
    const begun = this.#begin();
    // Its error is thrown when the first part is sealed; until then it is not unhandled.
    void Promise.allSettled([begun]);
    // As many parts are filled ahead as there are buffers, above all while the key is being derived.
    const parts = prefetch(this.#partsOf(files), PARTS_AT_ONCE);
    for await (const part of prefetch(this.#sealed(parts, begun))) {
      await this.#orStop(this.#store(part.name, part.bytes, part.mac));
      this.#manifest.add({ name: part.name, size: part.bytes.length, mac: part.mac }, part);
      this.#pool.give(part.buffer);
    }
    await this.#storeManifest(await begun);
    await this.#tar.end();
  }

  /** Derives the key and writes the header, which is authenticated like every member, and not encrypted. */
  async #begin(): Promise<ArchiveKey> {
    const header = newHeader(this.#options);
    const root = await deriveRootKey(this.#options.passphrase, header.kdfSalt, header.kdf);
    const key = { root, backupId: header.backupId, encrypted: header.encrypted };
    const bytes = formatHeader(header);
    const mac = await sealMember({ ...key, encrypted: false }, HEADER_NAME, bytes);
    await this.#store(HEADER_NAME, bytes, mac);
    this.#manifest.add({ name: HEADER_NAME, size: bytes.length, mac });
    return key;
  }

  async *#partsOf(files: AsyncIterable<FileToArchive>): AsyncGenerator<Part, void, undefined> {
    const { partSize } = this.#options;
    for await (const { path, compressed } of compressAhead(files, this.#compress)) {
      let index = 0;
      for await (const filled of cutIntoBuffers(compressed, partSize, this.#pool)) {
        this.#signal.throwIfAborted();
        yield { ...filled, ...partName(path, index++) };
      }
    }
  }

  readonly #compress = (innerTar: AsyncIterable<Buffer>): AsyncIterable<Buffer> =>
    compress(this.#options.compressionFilter, innerTar, this.#signal);

  /** Sealed parts, as soon as the header is written. */
  async *#sealed(
    parts: AsyncIterable<Part>,
    begun: Promise<ArchiveKey>,
  ): AsyncGenerator<SealedPart, void, undefined> {
    for await (const part of parts) {
      const key = await this.#orStop(begun);
      yield { ...part, mac: await this.#orStop(sealMember(key, part.name, part.bytes)) };
    }
  }

  /** When a part fails, no buffer will be given back: the others stop waiting for memory. */
  async #orStop<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.#stop.abort();
      throw error;
    }
  }

  /** The manifest is one part, whatever its size. */
  async #storeManifest(key: ArchiveKey): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.#compress(this.#manifest.tar())) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    if (this.#manifest.isTooLong || bytes.length > LARGEST_MANIFEST) {
      throw new FailedError(
        'the backup has too many parts for its manifest: back up in two halves',
      );
    }
    const { name } = partName(MANIFEST.path, 0);
    const mac = await sealMember(key, name, bytes);
    await this.#store(name, bytes, mac);
  }

  async #store(name: string, bytes: Buffer, mac: string): Promise<void> {
    await this.#tar.member(name, bytes);
    await this.#tar.member(`${name}.hmac`, Buffer.from(`${mac}\n`));
  }
}

function newHeader(options: Coffer1Options): Coffer1Header {
  return {
    format: 'coffer-1',
    backupId: randomBytes(16).toString('hex'),
    encrypted: options.encrypted,
    compressionFilter: options.compressionFilter,
    kdf: options.kdf,
    kdfSalt: randomBytes(SALT_LENGTH),
    partSize: options.partSize,
  };
}
