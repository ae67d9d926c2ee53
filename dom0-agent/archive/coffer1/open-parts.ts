import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { ByteReader } from '../../../shared/byte-reader.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { decompress } from '../compress/compression.ts';
import { DamagedPartError } from '../parts/part-name.ts';
import { prefetch } from '../parts/prefetch.ts';
import { type Coffer1Header, PART_TEXT_LENGTH } from './coffer1-header.ts';
import type { StoredMember } from './member-reader.ts';
import { type PartText, chunksOf, parsePartText } from './part-text.ts';
import { readRawFrame } from './raw-frame.ts';
import { type ArchiveKey, openMember } from './seal-member.ts';

/** What is needed for reading anything of an opened backup. */
export interface Opened {
  readonly header: Coffer1Header;
  readonly key: ArchiveKey;
  readonly signal: AbortSignal;
}

/** How many members each step is ahead of the next one: with one, a core is idle for a third of the time. */
const AHEAD = 2;

/** How many damaged members are skipped before reading is given up: a storage could make up any number of them. */
export const MOST_DAMAGED = 1000;

/** The error for more than MOST_DAMAGED damaged members. */
export function tooMuchDamaged(last: DamagedError): DamagedError {
  return new DamagedError(`too much of the backup is damaged, most recently: ${last.message}`);
}

/** An authenticated part of a volume, or the reason why it is damaged. */
export type OpenedPart =
  | {
      readonly number: number;
      readonly text: PartText;
      /**
       * Its chunks, or only those whose numbers are wanted, each where `placeFor` says, or else in any memory. To be read
       * before the next part.
       */
      readonly chunks: (
        isWanted?: (number: number) => boolean,
        placeFor?: (number: number) => Buffer | undefined,
      ) => AsyncGenerator<Buffer, void, undefined>;
    }
  | { readonly number: number; readonly damage: DamagedError };

/**
 * The content of a file that is not a volume, from its parts: authenticated, decrypted, decompressed. Throws
 * DamagedError at the first part that is not authentic.
 */
export async function* plaintextOf(
  parts: AsyncIterable<StoredMember>,
  opened: Opened,
): AsyncGenerator<Buffer, void, undefined> {
  const frames = framesOf(parts, opened.key, (_, damage) => {
    if (damage !== undefined) throw damage;
  });
  yield* decompressed(prefetch(frames), opened);
}

/**
 * The texts in members that contain one each: authenticated, decrypted and, with one program for all, decompressed. For
 * a damaged member, the error is yielded in its turn; the others follow.
 *
 * @param lengths of the texts, in bytes
 */
export async function* openTexts(
  members: AsyncIterable<StoredMember>,
  lengths: readonly number[],
  opened: Opened,
): AsyncGenerator<Buffer | DamagedError, void, undefined> {
  const damages: (DamagedError | undefined)[] = [];
  const frames = framesOf(members, opened.key, (_, damage) => damages.push(damage));
  await using bytes = new ByteReader(decompressed(prefetch(frames), opened), 'a file');
  for (const [place, length] of lengths.entries()) {
    // Once the next bytes have come, or the end, it is known whether the member is damaged.
    if (damages.length <= place) await bytes.ended();
    yield damages[place] ?? (await bytes.exact(length));
  }
  if (!(await bytes.ended())) throw new DamagedError('a file of the backup is longer than it says');
}

/**
 * The parts of volumes, one after the other: authenticated, decrypted and, with one program for all, decompressed. For
 * a damaged part, the error is yielded in its turn; the others follow.
 */
export async function* openParts(
  parts: AsyncIterable<StoredMember>,
  opened: Opened,
): AsyncGenerator<OpenedPart, void, undefined> {
  const { grain } = opened.header;
  /** The parts whose frames went into the decompressor, and whose chunks have not come out yet. */
  const underWay: { number: number; damage: DamagedError | undefined }[] = [];
  let damaged = 0;
  const frames = framesOf(parts, opened.key, (number, damage) => {
    underWay.push({ number, damage });
    // Counted here: nothing comes out for a damaged part, so an endless number of them would show nowhere else.
    if (damage !== undefined && ++damaged > MOST_DAMAGED) throw tooMuchDamaged(damage);
  });
  await using bytes = new ByteReader(decompressed(prefetch(frames), opened), 'a part of a volume');
  for (;;) {
    // Waits until it is known what comes next.
    const ended = await bytes.ended();
    const part = underWay.shift();
    if (part === undefined && ended) return;
    if (part === undefined)
      throw new DamagedError('a part of the backup contains more than it says');
    const { number, damage } = part;
    if (damage !== undefined) {
      yield { number, damage };
      continue;
    }
    const text = parsePartText(await bytes.exact(PART_TEXT_LENGTH), grain);
    const end = bytes.position + chunksOf(text) * grain;
    const chunks = async function* (
      isWanted: (number: number) => boolean = () => true,
      placeFor?: (number: number) => Buffer | undefined,
    ): AsyncGenerator<Buffer, void, undefined> {
      for (let number = 0; bytes.position < end; number++) {
        if (!isWanted(number)) {
          await bytes.skip(grain);
          continue;
        }
        noteBuffer(2 * grain);
        const place = placeFor?.(number);
        await (place && bytes.fill(place));
        yield place ?? (await bytes.exact(grain));
      }
    };
    yield { number, text, chunks };
    await bytes.skip(end - bytes.position);
  }
}

/** Authenticates every member, and discards it. Throws DamagedError. */
export async function authenticateParts(
  parts: AsyncIterable<StoredMember>,
  key: ArchiveKey,
): Promise<void> {
  for await (const { member, frame } of prefetch(
    authenticated(prefetch(parts, AHEAD), key),
    AHEAD,
  )) {
    member.release();
    if (frame instanceof DamagedError) throw frame;
  }
}

/**
 * The decrypted frames of the parts, in slices. `onPart` is called for each part before its frame; for a damaged part
 * it gets the error, and no frame follows.
 */
async function* framesOf(
  parts: AsyncIterable<StoredMember>,
  key: ArchiveKey,
  onPart: (number: number, damage: DamagedError | undefined) => void,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { member, frame } of prefetch(
    authenticated(prefetch(parts, AHEAD), key),
    AHEAD,
  )) {
    try {
      const isDamaged = frame instanceof DamagedError;
      onPart(member.part.index, isDamaged ? frame : undefined);
      if (!isDamaged) yield* frame;
    } finally {
      member.release();
    }
  }
}

interface AuthenticatedMember {
  readonly member: StoredMember;
  /** The decrypted frame in slices, or why it is not authentic. */
  readonly frame: Iterable<Buffer> | DamagedError;
}

async function* authenticated(
  members: AsyncIterable<StoredMember>,
  key: ArchiveKey,
): AsyncGenerator<AuthenticatedMember, void, undefined> {
  for await (const member of members) {
    yield { member, frame: await authenticate(member, key) };
  }
}

/** The decrypted frame of a member; a DamagedPartError when it is not authentic. */
export async function authenticate(
  { part, name, untrustedBytes, mac, sealedWith }: StoredMember,
  key: ArchiveKey,
): Promise<Iterable<Buffer> | DamagedPartError> {
  try {
    return await openMember(sealedWith ?? key, name, untrustedBytes, mac);
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    return new DamagedPartError(part, error.message, { cause: error });
  }
}

/**
 * Starts the decompressor only when a frame needs it: raw frames do not, and if all parts are damaged, there is none.
 */
async function* decompressed(
  frames: AsyncIterable<Buffer>,
  { header, signal }: Opened,
): AsyncGenerator<Buffer, void, undefined> {
  const slices = frames[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await slices.next();
      if (next.done === true) return;
      const slice = next.value;
      const text = header.compressionFilter === 'zstd' ? readRawFrame(slice) : undefined;
      if (text === undefined) {
        yield* decompress(header.compressionFilter, startingWith(slice, slices), signal);
        return;
      }
      yield text;
    }
  } finally {
    await slices.return?.();
  }
}

async function* startingWith(
  first: Buffer,
  rest: AsyncIterator<Buffer>,
): AsyncGenerator<Buffer, void, undefined> {
  yield first;
  yield* { [Symbol.asyncIterator]: () => rest };
}
