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

/** What every reading of an opened backup needs. */
export interface Opened {
  readonly header: Coffer1Header;
  readonly key: ArchiveKey;
  readonly signal: AbortSignal;
}

/** How many members each step is ahead of the next one: with one, a core is idle for a third of the time. */
const AHEAD = 2;

/** What is damaged is passed over, but not without end: a storage could make it up. */
export const MOST_DAMAGED = 1000;

export function tooMuchDamaged(last: DamagedError): DamagedError {
  return new DamagedError(`too much of the backup is damaged, most recently: ${last.message}`);
}

/** A part of a volume that was authenticated, or the reason why it cannot be. */
export type OpenedPart =
  | {
      readonly number: number;
      readonly text: PartText;
      /**
       * Its chunks, or those with the numbers that are wanted, each in memory of its own. To be read before the next part is
       * asked for, as far as they are wanted.
       */
      readonly chunks: (
        isWanted?: (number: number) => boolean,
      ) => AsyncGenerator<Buffer, void, undefined>;
    }
  | { readonly number: number; readonly damage: DamagedError };

/**
 * The content of a file that is no volume, from its parts: authenticated, decrypted, decompressed. Throws
 * DamagedError at the first part that does not hold.
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
 * What members hold of which each is a whole text: authenticated, decrypted and, by one program for all,
 * decompressed. Those that are damaged are told in their turn, and the others go on.
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
    // The next bytes are there, or the end: then it is known what became of the member.
    if (damages.length <= place) await bytes.ended();
    yield damages[place] ?? (await bytes.exact(length));
  }
  if (!(await bytes.ended())) throw new DamagedError('a file of the backup is longer than it says');
}

/**
 * The parts of volumes, one after the other: authenticated, decrypted and, by one program for all, decompressed.
 * Those that are damaged are told in their turn, and the others go on.
 */
export async function* openParts(
  parts: AsyncIterable<StoredMember>,
  opened: Opened,
): AsyncGenerator<OpenedPart, void, undefined> {
  const { grain } = opened.header;
  /** The parts whose frames went in, and whose chunks did not come out yet. */
  const underWay: { number: number; damage: DamagedError | undefined }[] = [];
  let damaged = 0;
  const frames = framesOf(parts, opened.key, (number, damage) => {
    underWay.push({ number, damage });
    // Nothing comes out for what is damaged: nobody else would notice.
    if (damage !== undefined && ++damaged > MOST_DAMAGED) throw tooMuchDamaged(damage);
  });
  await using bytes = new ByteReader(decompressed(prefetch(frames), opened), 'a part of a volume');
  for (;;) {
    // Only then is it known what comes next.
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
    ): AsyncGenerator<Buffer, void, undefined> {
      for (let number = 0; bytes.position < end; number++) {
        if (!isWanted(number)) {
          await bytes.skip(grain);
          continue;
        }
        noteBuffer(2 * grain);
        yield await bytes.exact(grain);
      }
    };
    yield { number, text, chunks };
    await bytes.skip(end - bytes.position);
  }
}

/** Authenticates every member, and uses none of them. Throws DamagedError. */
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
 * The decrypted frames of the parts, in slices. `onPart` is told of each part before its frame comes, or that it
 * is damaged and will not come.
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
  /** In slices, decrypted; or why it is not authentic. */
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

/** Raw frames need no program, and without a frame there is nothing to decompress: all may be damaged. */
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
