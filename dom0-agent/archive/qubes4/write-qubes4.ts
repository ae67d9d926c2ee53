import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { ByteSink } from '../../../shared/byte-streams.ts';
import { FailedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import { type FileToArchive, QUBES_XML } from '../archive.ts';
import type { ScryptCost } from '../scrypt-cost.ts';
import { type CompressionFilter, compress } from '../compress/compression.ts';
import { parallelGzip } from '../compress/parallel-gzip.ts';
import { BufferPool } from '../parts/buffer-pool.ts';
import { type FilledBuffer, cutIntoBuffers } from '../parts/cut-into-buffers.ts';
import { type PartName, partName } from '../parts/part-name.ts';
import { prefetch } from '../parts/prefetch.ts';
import { OuterTarWriter } from '../tar/outer-writer.ts';
import { HEADER_NAME } from '../untrusted-header.ts';
import { Derivations } from './derivations.ts';
import { formatQubes4Header, newBackupId } from './qubes4-header.ts';
import { COFFER_MANIFEST, Qubes4Manifest } from './qubes4-manifest.ts';
import { SCRYPT_OVERHEAD, ScryptFileWriter } from './scrypt-file.ts';

export interface Qubes4Options {
  readonly passphrase: Buffer;
  readonly compressionFilter: CompressionFilter | undefined;
  /** The cost of deriving the key of each part. */
  readonly kdf: ScryptCost;
  readonly created: Date;
  /** In bytes; `QUBES4_PART_SIZE` except in tests. */
  readonly partSize: number;
}

/** As in the official writer. A smaller size would cost more key derivations, here and in a restore. */
export const QUBES4_PART_SIZE = 100 * MiB;
/** The largest `qubes.xml.000.enc` for the official reader (HEADER_QUBES_XML_MAX_SIZE in its restore.py). */
const LARGEST_SEALED_QUBES_XML = 1 * MiB;

/** A part consists of pieces, each of which is reused as soon as it is written. */
const PIECE = 1 * MiB;
/** How many pieces of the next part are filled while a part waits for its key; more as it is written. */
const PIECES_AHEAD = 16;
/** How many parts, if they are small, are made ahead while their keys are derived. */
const PARTS_AHEAD = 16;

/** A part: its content, and its writer, as soon as its key is derived. */
interface Part extends PartName {
  readonly pieces: FilledBuffer[];
  readonly sealing: Promise<ScryptFileWriter>;
}

/**
 * Writes an archive of format 4, in one pass, that the official tools can restore
 * (docs/official-formats.md), followed by a manifest. Reading, compressing, key derivation and writing go on
 * at the same time.
 */
export async function writeQubes4(
  files: AsyncIterable<FileToArchive>,
  output: ByteSink,
  options: Qubes4Options,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const writing = new Qubes4Writing(output, options, AbortSignal.any([signal, stop.signal]));
  try {
    await writing.write(files, stop);
  } catch (error) {
    // Throw the reason of the abort, not its consequences.
    signal.throwIfAborted();
    throw error;
  } finally {
    // Derivations that wait for their turn are not started.
    stop.abort();
  }
}

class Qubes4Writing {
  readonly #tar: OuterTarWriter;
  readonly #options: Qubes4Options;
  readonly #signal: AbortSignal;
  readonly #backupId: string;
  readonly #pieceSize: number;
  readonly #piecesInPart: number;
  readonly #pool: BufferPool;
  readonly #derivations = new Derivations();
  readonly #manifest = new Qubes4Manifest();

  constructor(output: ByteSink, options: Qubes4Options, signal: AbortSignal) {
    this.#tar = new OuterTarWriter(output);
    this.#options = options;
    this.#signal = signal;
    // Every part that waits for its key listens: this is not a leak that Node should warn about.
    setMaxListeners(0, signal);
    this.#backupId = newBackupId(options.created);
    this.#pieceSize = Math.min(PIECE, options.partSize);
    this.#piecesInPart = Math.floor(options.partSize / this.#pieceSize);
    const pieces = this.#piecesInPart + PIECES_AHEAD;
    this.#pool = new BufferPool(pieces * this.#pieceSize, signal);
  }

  /** @param stop ends waiting for memory that will not be given back */
  async write(files: AsyncIterable<FileToArchive>, stop: AbortController): Promise<void> {
    const headerWritten = this.#writeHeader();
    // Its error is thrown when the first part is stored; until then it is not unhandled.
    void Promise.allSettled([headerWritten]);
    for await (const part of prefetch(this.#partsOfAll(files), PARTS_AHEAD)) {
      try {
        await headerWritten;
        await this.#store(part);
      } catch (error) {
        stop.abort();
        throw error;
      }
    }
    await headerWritten;
    for await (const part of this.#partsOf(this.#manifestFile())) await this.#store(part);
    await this.#tar.end();
  }

  /** The header, then its sealed copy, while the first parts are filled. */
  async #writeHeader(): Promise<void> {
    const header = formatQubes4Header(this.#backupId, this.#options.compressionFilter);
    await this.#tar.member(HEADER_NAME, header);
    const sealing = await this.#sealFor(HEADER_NAME);
    const sealed = Buffer.concat([sealing.header, sealing.encrypt(header), sealing.end()]);
    await this.#tar.member(`${HEADER_NAME}.hmac`, sealed);
  }

  async #store(part: Part): Promise<void> {
    const { path, name: inTar, pieces } = part;
    const name = `${inTar}.enc`;
    const size = pieces.reduce((sum, { bytes }) => sum + bytes.length, SCRYPT_OVERHEAD);
    refuseUnreadable(path, size);
    const sealing = await part.sealing;
    const pool = this.#pool;
    let mac = '';
    function* sealed(): Generator<Buffer> {
      yield sealing.header;
      for (const { bytes, buffer } of pieces) {
        yield sealing.encrypt(bytes);
        pool.give(buffer);
      }
      const end = sealing.end();
      mac = end.toString('hex');
      yield end;
    }
    await this.#tar.memberOf(name, size, sealed());
    if (path !== COFFER_MANIFEST) this.#manifest.add({ name, size, mac });
  }

  async *#partsOfAll(files: AsyncIterable<FileToArchive>): AsyncGenerator<Part, void, undefined> {
    for await (const file of files) yield* this.#partsOf(file);
  }

  /** The parts of a file. A part's key is derived while the part is being filled. */
  async *#partsOf({ path, innerTar }: FileToArchive): AsyncGenerator<Part, void, undefined> {
    let index = 0;
    let part: Part | undefined;
    const compressed = this.#compress(innerTar);
    for await (const piece of cutIntoBuffers(compressed, this.#pieceSize, this.#pool)) {
      this.#signal.throwIfAborted();
      part ??= this.#newPart(partName(path, index++));
      part.pieces.push(piece);
      if (part.pieces.length < this.#piecesInPart) continue;
      yield part;
      part = undefined;
    }
    if (part !== undefined) yield part;
  }

  /** A part's key is derived from the backup's id and the part's name, so that it fits nowhere else. */
  #newPart(part: PartName): Part {
    const sealing = this.#sealFor(`${this.#backupId}!${part.name}`);
    // Its error is thrown when the part is stored; until then it is not unhandled.
    void Promise.allSettled([sealing]);
    return { ...part, pieces: [], sealing };
  }

  async #sealFor(place: string): Promise<ScryptFileWriter> {
    const { kdf, passphrase } = this.#options;
    const parameters = { ...kdf, salt: randomBytes(32) };
    const keys = await this.#derivations.derive(place, passphrase, parameters, this.#signal);
    return new ScryptFileWriter(parameters, keys);
  }

  #compress(innerTar: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
    const { compressionFilter } = this.#options;
    if (compressionFilter === 'gzip') return parallelGzip(innerTar, this.#signal);
    return compress(compressionFilter, innerTar, this.#signal);
  }

  #manifestFile(): FileToArchive {
    if (this.#manifest.isTooLong) {
      throw new FailedError(
        'the backup has too many parts for its manifest: back up in two halves',
      );
    }
    return { path: COFFER_MANIFEST, innerTar: this.#manifest.tar() };
  }
}

/** Throws FailedError for a qubes.xml that the official tools would refuse. */
function refuseUnreadable(path: string, size: number): void {
  if (path !== QUBES_XML || size <= LARGEST_SEALED_QUBES_XML) return;
  throw new FailedError(
    'the settings of so many VMs do not fit into a backup of format 4: compress it, back up in two ' +
      'halves, or use the format coffer-1',
  );
}
