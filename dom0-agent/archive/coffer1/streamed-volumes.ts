import { DamagedError } from '../../../shared/errors.ts';
import type { ArchivedFile } from '../archive.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import type { Opened, OpenedPart } from './open-parts.ts';
import { type PartText, chunksOf } from './part-text.ts';
import type { ReadSoFar } from './read-so-far.ts';
import { brokenFile } from './small-files.ts';
import { VolumeCheck } from './volume-check.ts';

type SoundPart = Extract<OpenedPart, { text: PartText }>;

/**
 * The volumes that the parts of a stream belong to. Reading a volume throws DamagedError if one of its parts is damaged
 * or missing; the others can still be read.
 */
export async function* volumesOf(
  parts: AsyncGenerator<OpenedPart, void, undefined>,
  wanted: (path: string) => boolean,
  seen: ReadSoFar,
  { header, key }: Opened,
): AsyncGenerator<ArchivedFile, void, undefined> {
  const queue = new PartQueue(parts, seen);
  let former: string | undefined;
  try {
    for (let part = await queue.peek(); part !== undefined; part = await queue.peek()) {
      if ('damage' in part || (part.text.path === former && part.text.index > 0)) {
        // The rest of a volume that is damaged, not wanted, or was not read to its end.
        queue.take();
        continue;
      }
      const { path, size, index } = part.text;
      former = path;
      const check = new VolumeCheck(key.root, part.text, header.grain);
      seen.beginVolume(check);
      if (wanted(path)) {
        const damage = index === 0 ? undefined : (queue.lastDamage ?? missing(path));
        yield damage === undefined
          ? { path, size, pieces: () => piecesOf(queue, check) }
          : brokenFile(path, size, damage);
      }
      // If the consumer has not read it.
      if ((await queue.peek()) === part) queue.take();
    }
  } finally {
    await parts.return();
  }
}

/** The pieces of the volume whose first part comes next. */
async function* piecesOf(
  queue: PartQueue,
  check: VolumeCheck,
): AsyncGenerator<DataPiece, void, undefined> {
  const { path } = check;
  for (let index = 0; ; index++) {
    const part = await queue.peek();
    if (part !== undefined && 'damage' in part) throw part.damage;
    if (part?.text.path !== path || part.text.index !== index) throw missing(path);
    queue.take();
    check.notePart(part.number, part.text);
    yield* piecesOfPart(part, check);
    if (part.text.last) break;
  }
  check.end();
}

async function* piecesOfPart(
  { text, chunks }: SoundPart,
  check: VolumeCheck,
): AsyncGenerator<DataPiece, void, undefined> {
  const numbers = numbersOf(text);
  for await (const chunk of chunks()) yield* check.pieces(numbers.next().value ?? 0, chunk);
}

function* numbersOf({ runs }: PartText): Generator<number, undefined, undefined> {
  for (const { first, count } of runs) for (let i = 0; i < count; i++) yield first + i;
  return undefined;
}

function missing(path: string): DamagedError {
  return new DamagedError(`a part of ${path} is missing in the backup`);
}

/** The parts, with a way to look at the next one before it is taken. */
class PartQueue {
  /** The damage of the part that was taken last, if it was damaged. */
  lastDamage: DamagedError | undefined;
  readonly #parts: AsyncGenerator<OpenedPart, void, undefined>;
  readonly #seen: ReadSoFar;
  #next: OpenedPart | undefined;

  constructor(parts: AsyncGenerator<OpenedPart, void, undefined>, seen: ReadSoFar) {
    this.#parts = parts;
    this.#seen = seen;
  }

  async peek(): Promise<OpenedPart | undefined> {
    if (this.#next !== undefined) return this.#next;
    const next = await this.#parts.next();
    this.#next = next.done === true ? undefined : next.value;
    return this.#next;
  }

  /** Takes the part that `peek` returned. Its chunks can be read until the next `peek`. */
  take(): void {
    const part = this.#next;
    if (part === undefined) throw new RangeError('peek comes first');
    this.#next = undefined;
    if ('damage' in part) {
      this.lastDamage = part.damage;
      this.#seen.noteDamaged(part.damage);
    } else {
      this.lastDamage = undefined;
      this.#seen.noteChunks(chunksOf(part.text));
    }
  }
}
