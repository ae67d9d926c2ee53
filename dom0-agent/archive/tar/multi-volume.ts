import { DamagedError } from '../../../shared/errors.ts';
import { ByteReader } from '../../../shared/byte-reader.ts';
import { isZero } from '../../../shared/sparse-data.ts';
import { BLOCK, paddingOf, parseNumber } from '../../../shared/tar-block.ts';
import { LONGEST_NAME, type TarHeader, parseTarHeader, text } from './header-block.ts';
import { oldGnuExtensions, oldGnuRealSize } from '../../../shared/old-gnu-sparse.ts';

/**
 * Joins the volumes of a GNU multi-volume tar (`tar -M`, format gnu: backups of format 2) into the
 * equivalent single tar: continuation headers (type `M`) are checked and removed, and so are the volumes'
 * labels.
 *
 * A continuation must name the member in whose data the previous volume ended, and the position in it. Throws
 * a DamagedError that begins with `name` if it does not, and when a volume is missing within a member. `untar`
 * checks that the end is there.
 */
export async function* joinVolumes(
  volumes: AsyncIterable<AsyncIterable<Buffer>>,
  name = 'a file of the backup',
): AsyncGenerator<Buffer, void, undefined> {
  await using tar = new VolumeReader(volumes, name);
  while (!(await tar.ended())) {
    const untrustedBlock = await tar.block();
    if (isZero(untrustedBlock)) {
      yield untrustedBlock;
      continue;
    }
    const header = parseTarHeader(untrustedBlock, name);
    const { type, size } = header;
    if (type === 'V') continue;
    yield untrustedBlock;
    if (type === 'S') yield* oldGnuExtensions(untrustedBlock, () => tar.block());
    // Only a member's data is continued under a header; other blocks simply continue.
    if (type === 'L' || type === 'K') yield* blocks(size, tar);
    else yield* data(untrustedBlock, header, tar, name);
  }
}

async function* blocks(size: number, tar: VolumeReader): AsyncGenerator<Buffer> {
  for (let done = 0; done < size; done += BLOCK) yield await tar.block();
}

/** A member's data, with the padding of its last block. */
async function* data(
  untrustedBlock: Buffer,
  { type, size }: TarHeader,
  tar: VolumeReader,
  name: string,
): AsyncGenerator<Buffer> {
  const member: ContinuedMember = {
    name: text(untrustedBlock.subarray(0, LONGEST_NAME)),
    realSize: (type === 'S' ? oldGnuRealSize(untrustedBlock) : undefined) ?? size,
  };
  for (let left = size + paddingOf(size); left > 0;) {
    if (await tar.volumeEnded()) {
      await tar.nextVolume();
      const untrustedContinuation = await firstBlockAfterLabel(tar, name);
      checkContinuation(untrustedContinuation, member, left - paddingOf(size), name);
      continue;
    }
    const bytes = await tar.atMost(left);
    left -= bytes.length;
    yield bytes;
  }
}

async function firstBlockAfterLabel(tar: VolumeReader, name: string): Promise<Buffer> {
  const untrustedBlock = await tar.block();
  return parseTarHeader(untrustedBlock, name).type === 'V' ? tar.block() : untrustedBlock;
}

interface ContinuedMember {
  /** The first 100 bytes of its header. */
  readonly name: string;
  readonly realSize: number;
}

/** Where `M` headers have the offset in the member (struct oldgnu_header in GNU tar's tar.h). */
const PLACE_AT = 369;

/**
 * The position is computed from the end: GNU tar writes the size of the file, holes included, minus the bytes
 * of data to come.
 */
function checkContinuation(
  untrustedBlock: Buffer,
  member: ContinuedMember,
  left: number,
  name: string,
): void {
  const untrustedPlace = parseNumber(untrustedBlock.subarray(PLACE_AT, PLACE_AT + 12));
  const { type, size } = parseTarHeader(untrustedBlock, name);
  if (
    type !== 'M' ||
    text(untrustedBlock.subarray(0, LONGEST_NAME)) !== member.name ||
    size !== left ||
    untrustedPlace !== member.realSize - left
  ) {
    throw new DamagedError(
      `${name} is damaged: one of its parts does not continue where it should`,
    );
  }
}

/** Reads one volume after the other. */
class VolumeReader implements AsyncDisposable {
  readonly #volumes: AsyncIterator<AsyncIterable<Buffer>>;
  readonly #name: string;
  #volume: ByteReader | undefined;

  constructor(volumes: AsyncIterable<AsyncIterable<Buffer>>, name: string) {
    this.#volumes = volumes[Symbol.asyncIterator]();
    this.#name = name;
  }

  /** Whether the current volume is at its end. */
  async volumeEnded(): Promise<boolean> {
    return this.#volume === undefined || (await this.#volume.ended());
  }

  /** Whether all volumes are. */
  async ended(): Promise<boolean> {
    while (await this.volumeEnded()) {
      if (!(await this.#open())) return true;
    }
    return false;
  }

  /** Opens the next volume. Throws DamagedError when there is none. */
  async nextVolume(): Promise<void> {
    if (!(await this.#open())) throw this.#cutShort();
  }

  /** The next block, in whichever volume it is. Throws DamagedError when there is none. */
  async block(): Promise<Buffer> {
    if (await this.ended()) throw this.#cutShort();
    return this.#current.exact(BLOCK);
  }

  /** Up to `limit` bytes of the current volume. */
  async atMost(limit: number): Promise<Buffer> {
    return this.#current.atMost(limit);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#volume?.[Symbol.asyncDispose]();
    await this.#volumes.return?.();
  }

  get #current(): ByteReader {
    if (this.#volume === undefined) throw this.#cutShort();
    return this.#volume;
  }

  async #open(): Promise<boolean> {
    await this.#volume?.[Symbol.asyncDispose]();
    const next = await this.#volumes.next();
    this.#volume = next.done === true ? undefined : new ByteReader(next.value, this.#name);
    return this.#volume !== undefined;
  }

  #cutShort(): DamagedError {
    return new DamagedError(`${this.#name} ends too early: its last part is missing`);
  }
}
