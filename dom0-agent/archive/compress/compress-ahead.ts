import type { FileToArchive } from '../archive.ts';

/** A file, and what is made of its inner tar: compressed, say. */
export interface BegunFile {
  readonly path: string;
  readonly content: AsyncIterable<Buffer>;
}

/**
 * Makes the content of one file after the other by `open`. When the inner tar of a file has been read to its
 * end, the next file is begun, while the compressor of the first still works: many small files then take
 * hardly longer than a large one. The consumer reads each content to its end before it asks for the next file.
 */
export async function* beginAhead(
  files: AsyncIterable<FileToArchive>,
  open: (innerTar: AsyncIterable<Buffer>) => AsyncIterable<Buffer>,
): AsyncGenerator<BegunFile, void, undefined> {
  const iterator = files[Symbol.asyncIterator]();
  const begin = async (): Promise<Content | undefined> => {
    const next = await iterator.next();
    return next.done === true ? undefined : new Content(next.value, open);
  };
  let present = await begin();
  let next: Promise<Content | undefined> | undefined;
  try {
    while (present !== undefined) {
      next = present.wasRead.then((whole) => (whole ? begin() : undefined));
      // An error is told when the file's turn comes; until then it is not unhandled.
      void Promise.allSettled([next]);
      yield { path: present.path, content: present.chunks() };
      present = await next;
    }
  } finally {
    await present?.leave();
    const [begun] = await Promise.allSettled([next]);
    if (begun.status === 'fulfilled') await begun.value?.leave();
    await iterator.return?.();
  }
}

/** The content of one file, of which the first chunk is being made. */
class Content {
  readonly path: string;
  /** Resolves when no more is read of the inner tar: whether its end was reached. */
  readonly wasRead: Promise<boolean>;
  #tell: (whole: boolean) => void = () => undefined;
  readonly #iterator: AsyncIterator<Buffer>;
  readonly #first: Promise<IteratorResult<Buffer>>;

  constructor(
    { path, innerTar }: FileToArchive,
    open: (innerTar: AsyncIterable<Buffer>) => AsyncIterable<Buffer>,
  ) {
    this.path = path;
    this.wasRead = new Promise((resolve) => (this.#tell = resolve));
    this.#iterator = open(telling(innerTar, this.#tell))[Symbol.asyncIterator]();
    this.#first = this.#iterator.next();
    void Promise.allSettled([this.#first]);
  }

  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    for (let next = await this.#first; next.done !== true; next = await this.#iterator.next()) {
      yield next.value;
    }
  }

  async leave(): Promise<void> {
    await this.#iterator.return?.();
    // What failed before it read anything has told nothing.
    this.#tell(false);
  }
}

/** `source`, at whose end, or when it is left, `tell` is called. */
async function* telling(
  source: AsyncIterable<Buffer>,
  tell: (whole: boolean) => void,
): AsyncGenerator<Buffer, void, undefined> {
  let whole = false;
  try {
    yield* source;
    whole = true;
  } finally {
    tell(whole);
  }
}
