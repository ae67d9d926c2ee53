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
 * The volumes that a stream's parts belong to. A volume of which a part is damaged or missing throws DamagedError in its
 * turn; the others are whole.
 */
export async function* volumesOf(
  parts: AsyncGenerator<OpenedPart, void, undefined>,
  wanted: (path: string) => boolean,
  seen: ReadSoFar,
  { header, key }: Opened,
): AsyncGenerator<ArchivedFile, void, undefined> {
  const row = new PartRow(parts, seen);
  let former: string | undefined;
  try {
    for (let part = await row.peek(); part !== undefined; part = await row.peek()) {
      if ('damage' in part || (part.text.path === former && part.text.index > 0)) {
        // What is left of a volume that is damaged, that nobody wants, or that was not read to its end.
        row.take();
        continue;
      }
      const { path, size, index } = part.text;
      former = path;
      const check = new VolumeCheck(key.root, part.text, header.grain);
      seen.beginVolume(check);
      if (wanted(path)) {
        const damage = index === 0 ? undefined : (row.lastDamage ?? missing(path));
        yield damage === undefined
          ? { path, size, pieces: () => piecesOf(row, check) }
          : brokenFile(path, size, damage);
      }
      // Unless somebody read it.
      if ((await row.peek()) === part) row.take();
    }
  } finally {
    await parts.return();
  }
}

/** The pieces of the volume whose first part comes next. */
async function* piecesOf(
  row: PartRow,
  check: VolumeCheck,
): AsyncGenerator<DataPiece, void, undefined> {
  const { path } = check;
  for (let index = 0; ; index++) {
    const part = await row.peek();
    if (part !== undefined && 'damage' in part) throw part.damage;
    if (part?.text.path !== path || part.text.index !== index) throw missing(path);
    row.take();
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

/** The parts, of which one can be looked at before it is taken. */
class PartRow {
  /** Why the part before the present one could not be read. */
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

  /** Takes the part that `peek` showed: its chunks can be read until the next one is looked at. */
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
