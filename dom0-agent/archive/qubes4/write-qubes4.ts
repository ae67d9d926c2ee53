import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { ByteSink } from '../../../shared/byte-streams.ts';
import { FailedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import { type FileToArchive, QUBES_XML } from '../archive.ts';
import type { ScryptCost } from '../coffer1/scrypt-cost.ts';
import { type CompressionFilter, compress } from '../compress/compression.ts';
import { HEADER_NAME } from '../header-text.ts';
import { plainTar } from '../tar/inner-writer.ts';
import { OuterTarWriter } from '../tar/outer-writer.ts';
import { parallelGzip } from '../compress/parallel-gzip.ts';
import { PartBuffers } from '../parts/part-buffers.ts';
import { type Part, cutIntoParts, partName } from '../parts/part-names.ts';
import { prefetch } from '../parts/prefetch.ts';
import { Derivations } from './derivations.ts';
import {
  LARGEST_MANIFEST,
  MANIFEST_PATH,
  type ManifestMember,
  formatManifest,
} from './qubes4-manifest.ts';
import { PartSeal, SEAL_LENGTH } from './part-seal.ts';
import { formatQubes4Header, newBackupId } from './write-header.ts';

export interface Qubes4Options {
  readonly passphrase: Buffer;
  readonly compressionFilter: CompressionFilter | undefined;
  /** Of every part's key. */
  readonly kdf: ScryptCost;
  readonly created: Date;
  /** Bytes; `QUBES4_PART_SIZE` but in tests. */
  readonly partSize: number;
}

/** As the official writer cuts. A smaller one would cost more derivations, here and in a restore. */
export const QUBES4_PART_SIZE = 100 * MiB;
/** The official reader takes no larger `qubes.xml.000.enc` (HEADER_QUBES_XML_MAX_SIZE in its restore.py). */
const LARGEST_SEALED_QUBES_XML = 1 * MiB;

/** A part is made of pieces, each of which is free again as soon as it is written. */
const PIECE = 1 * MiB;
/** So many pieces of the next part are filled while a part waits for its key, and more as it is written. */
const PIECES_AHEAD = 16;
/** So many parts, if they are small, are made ahead while their keys are derived. */
const PARTS_AHEAD = 16;

/** A part on its way to be sealed, as the member that it will be. */
interface MemberToSeal {
  readonly name: string;
  readonly pieces: Part[];
  readonly seal: Promise<PartSeal>;
}

/**
 * Writes an archive of format 4, in one pass, that the official tools restore
 * (docs/official-formats.md), and a manifest behind it. Reading, compressing, the derivations of the
 * keys and writing go on at the same time.
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
    await writing.write(files);
  } catch (error) {
    // Whatever a stop has broken off, the reason is told.
    signal.throwIfAborted();
    throw error;
  } finally {
    // Derivations that wait for their turn are not begun any more.
    stop.abort();
  }
}

class Qubes4Writing {
  readonly #tar: OuterTarWriter;
  readonly #options: Qubes4Options;
  readonly #signal: AbortSignal;
  readonly #backupId: string;
  readonly #buffers: PartBuffers;
  readonly #piecesInPart: number;
  readonly #derivations = new Derivations();
  readonly #members: ManifestMember[] = [];

  constructor(output: ByteSink, options: Qubes4Options, signal: AbortSignal) {
    this.#tar = new OuterTarWriter(output);
    this.#options = options;
    this.#signal = signal;
    // Every part that waits for its key listens: no leak that Node should warn of.
    setMaxListeners(0, signal);
    this.#backupId = newBackupId(options.created);
    const piece = Math.min(PIECE, options.partSize);
    this.#piecesInPart = Math.floor(options.partSize / piece);
    this.#buffers = new PartBuffers(piece, this.#piecesInPart + PIECES_AHEAD);
  }

  async write(files: AsyncIterable<FileToArchive>): Promise<void> {
    const header = formatQubes4Header(this.#backupId, this.#options.compressionFilter);
    await this.#tar.member(HEADER_NAME, header);
    await this.#store(this.#headerAndFiles(header, files));
    await this.#store(this.#partsOf(this.#manifest()));
    await this.#tar.end();
  }

  async #store(members: AsyncIterable<MemberToSeal>): Promise<void> {
    for await (const member of prefetch(members, PARTS_AHEAD)) {
      try {
        await this.#storeMember(member);
      } catch (error) {
        this.#buffers.close();
        throw error;
      }
    }
  }

  async #storeMember({ name, pieces, seal }: MemberToSeal): Promise<void> {
    const size = pieces.reduce((sum, { bytes }) => sum + bytes.length, SEAL_LENGTH);
    refuseUnreadable(name, size);
    const sealing = await seal;
    let mac = '';
    const buffers = this.#buffers;
    function* sealed(): Generator<Buffer> {
      yield sealing.header;
      for (const { bytes, buffer } of pieces) {
        yield sealing.encrypt(bytes);
        buffers.give(buffer);
      }
      const end = sealing.end();
      mac = end.toString('hex');
      yield end;
    }
    await this.#tar.memberOf(name, size, sealed());
    if (name !== HEADER_MAC) this.#members.push({ name, size, mac });
  }

  async *#headerAndFiles(
    header: Buffer,
    files: AsyncIterable<FileToArchive>,
  ): AsyncGenerator<MemberToSeal, void, undefined> {
    const seal = this.#sealFor(HEADER_NAME);
    for await (const piece of cutIntoParts(once(header), this.#buffers)) {
      yield { name: HEADER_MAC, pieces: [piece], seal };
    }
    for await (const file of files) yield* this.#partsOf(file);
  }

  /** The parts of a file. A part's key is under way while the part is still being filled. */
  async *#partsOf(file: FileToArchive): AsyncGenerator<MemberToSeal, void, undefined> {
    let index = 0;
    let part: MemberToSeal | undefined;
    for await (const piece of cutIntoParts(this.#compressed(file), this.#buffers)) {
      this.#signal.throwIfAborted();
      part ??= this.#newPart(partName(file.path, index++));
      part.pieces.push(piece);
      if (part.pieces.length < this.#piecesInPart) continue;
      yield part;
      part = undefined;
    }
    if (part !== undefined) yield part;
  }

  #newPart(name: string): MemberToSeal {
    return { name: `${name}.enc`, pieces: [], seal: this.#sealFor(`${this.#backupId}!${name}`) };
  }

  /** What a member is sealed with: its secret names backup and part, so that it fits nowhere else. */
  #sealFor(place: string): Promise<PartSeal> {
    const parameters = { ...this.#options.kdf, salt: randomBytes(32) };
    const seal = this.#derivations
      .derive(place, this.#options.passphrase, parameters, this.#signal)
      .then((keys) => new PartSeal(parameters, keys));
    // Its error is told when the part is stored; until then it is not unhandled.
    void Promise.allSettled([seal]);
    return seal;
  }

  #compressed({ innerTar }: FileToArchive): AsyncIterable<Buffer> {
    const { compressionFilter } = this.#options;
    if (compressionFilter === undefined) return innerTar;
    if (compressionFilter === 'gzip') return parallelGzip(innerTar, this.#signal);
    return compress(compressionFilter, innerTar, this.#signal);
  }

  #manifest(): FileToArchive {
    const text = Buffer.from(formatManifest(this.#members));
    if (text.length > LARGEST_MANIFEST) {
      throw new FailedError(
        'the backup has too many parts for its manifest: back up in two halves',
      );
    }
    return { path: MANIFEST_PATH, innerTar: plainTar(MANIFEST_PATH, text) };
  }
}

const HEADER_MAC = `${HEADER_NAME}.hmac`;

/** Throws FailedError for a qubes.xml that the official tools would refuse. */
function refuseUnreadable(name: string, size: number): void {
  if (!name.startsWith(`${QUBES_XML}.`) || size <= LARGEST_SEALED_QUBES_XML) return;
  throw new FailedError(
    'the settings of so many VMs do not fit into a backup of format 4: compress it, back up in two ' +
      'halves, or use the format coffer-1',
  );
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer, void, undefined> {
  yield await Promise.resolve(bytes);
}
