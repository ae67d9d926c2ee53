import { DamagedError } from '../../../shared/errors.ts';
import { formatSize } from '../../../shared/sizes.ts';
import type { ArchivedFile } from '../archive.ts';
import type { OuterMember } from '../tar/outer-reader.ts';
import { LARGEST_PART, type PartWalk, type WalkedPart } from './part-walk.ts';

/** A part in memory, with whatever the format needs to open it. */
export interface HeldPart<Content> {
  readonly path: string;
  /** Path and number, for messages. */
  readonly name: string;
  readonly content: Content;
  /** Whether it is the last one of its file. */
  readonly last: boolean;
}

type Release<Content> = (content: Content, inUse: boolean) => void;
/** Takes a part into memory. */
type Hold<Content> = (part: WalkedPart) => Promise<Content>;

/** The parts of the files that `wanted` chooses, one after the other. */
export async function* heldParts<Content>(
  walk: PartWalk,
  wanted: (path: string) => boolean,
  hold: Hold<Content>,
): AsyncGenerator<HeldPart<Content>, void, undefined> {
  for (let part = await walk.next(); part !== undefined; part = await walk.next()) {
    if (wanted(part.path)) {
      yield* partsOfFile(walk, part, hold);
    } else {
      while ((await walk.nextOf(part.path)) !== undefined) continue;
    }
  }
}

/** The parts of the file that `first` begins. Reads on no further than to see where it ends. */
export async function* partsOfFile<Content>(
  walk: PartWalk,
  first: WalkedPart,
  hold: Hold<Content>,
): AsyncGenerator<HeldPart<Content>, void, undefined> {
  const { path } = first;
  for (let part: WalkedPart | undefined = first; part !== undefined;) {
    const { name } = part;
    const content = await hold(part);
    part = await walk.nextOf(path);
    yield { path, name, content, last: part === undefined };
  }
}

/**
 * Parts in a row, put together into files. `innerTarOf` makes a file's inner tar from its parts. What the
 * consumer leaves of a file is passed over; `release` is called for every part that was taken from
 * `parts`, when it is no longer needed: `inUse` if the consumer had begun with it and did not end.
 */
export async function* filesOfParts<Content>(
  parts: AsyncGenerator<HeldPart<Content>, void, undefined>,
  innerTarOf: (parts: AsyncIterable<HeldPart<Content>>, path: string) => AsyncIterable<Buffer>,
  release: Release<Content> = () => undefined,
): AsyncGenerator<ArchivedFile, void, undefined> {
  try {
    for (let first = await parts.next(); first.done !== true; first = await parts.next()) {
      const file = new PartsInRow(first.value, parts, release);
      try {
        const { path } = first.value;
        yield { path, innerTar: innerTarOf(file.parts(), path) };
      } finally {
        file.leave();
      }
      await file.passOver();
    }
  } finally {
    await parts.return();
  }
}

/** The parts of one file within the row, of which one is held at a time. */
class PartsInRow<Content> {
  readonly #row: AsyncGenerator<HeldPart<Content>, void, undefined>;
  readonly #release: Release<Content>;
  #next: HeldPart<Content> | undefined;
  #last = false;

  constructor(
    first: HeldPart<Content>,
    row: AsyncGenerator<HeldPart<Content>, void, undefined>,
    release: Release<Content>,
  ) {
    this.#next = first;
    this.#row = row;
    this.#release = release;
  }

  async *parts(): AsyncGenerator<HeldPart<Content>, void, undefined> {
    for (let part = this.#next; part !== undefined; part = await this.#advance()) yield part;
  }

  /** Lets go of the part that the consumer was at. */
  leave(): void {
    this.#releaseCurrent(true);
  }

  /** Passes over what is left of the file. */
  async passOver(): Promise<void> {
    while ((await this.#advance()) !== undefined) continue;
  }

  async #advance(): Promise<HeldPart<Content> | undefined> {
    this.#releaseCurrent(false);
    if (this.#last) return undefined;
    const next = await this.#row.next();
    this.#next = next.done === true ? undefined : next.value;
    this.#last = this.#next === undefined;
    return this.#next;
  }

  #releaseCurrent(inUse: boolean): void {
    if (this.#next === undefined) return;
    this.#last = this.#next.last;
    this.#release(this.#next.content, inUse);
    this.#next = undefined;
  }
}

/**
 * The bytes of a part, whole, since nothing of it may be used before its MAC holds. `memoryFor` is called
 * when at least `beginning` bytes have come, and gives the buffer for the part: only then, and
 * when there is room, the rest is read. Throws DamagedError when the part is too large, or shorter
 * than its beginning.
 */
export async function holdBytes(
  member: OuterMember,
  beginning = 0,
  memoryFor: (untrustedBeginning: Buffer) => Promise<Buffer> = () =>
    Promise.resolve(Buffer.allocUnsafeSlow(member.size)),
): Promise<Buffer> {
  if (member.size > LARGEST_PART || member.size < beginning) {
    throw new DamagedError(
      `${member.name} in the backup claims ${formatSize(member.size)}, which no sound part has`,
    );
  }
  let untrustedBeginning = Buffer.alloc(0);
  let untrustedBytes: Buffer | undefined;
  let filled = 0;
  for await (const chunk of member.stream()) {
    if (untrustedBytes === undefined) {
      untrustedBeginning = Buffer.concat([untrustedBeginning, chunk]);
      if (untrustedBeginning.length < beginning) continue;
      untrustedBytes = await memoryFor(untrustedBeginning);
      filled = untrustedBeginning.copy(untrustedBytes);
    } else {
      filled += chunk.copy(untrustedBytes, filled);
    }
  }
  return untrustedBytes ?? untrustedBeginning;
}
