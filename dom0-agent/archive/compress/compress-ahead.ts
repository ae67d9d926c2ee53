import type { FileToArchive } from '../archive.ts';

/** A file, and its inner tar as it is stored, compressed or not. */
export interface CompressedFile {
  readonly path: string;
  readonly compressed: AsyncIterable<Buffer>;
}

/**
 * Compresses one file after the other. When the inner tar of a file has been read to its end, the next file is
 * started, while the compressor of the first still works: many small files then take hardly longer than one
 * large file. The consumer reads each file to its end before it asks for the next.
 */
export async function* compressAhead(
  files: AsyncIterable<FileToArchive>,
  compress: (innerTar: AsyncIterable<Buffer>) => AsyncIterable<Buffer>,
): AsyncGenerator<CompressedFile, void, undefined> {
  const iterator = files[Symbol.asyncIterator]();
  const begin = async (): Promise<BegunFile | undefined> => {
    const next = await iterator.next();
    return next.done === true ? undefined : new BegunFile(next.value, compress);
  };
  let present = await begin();
  let next: Promise<BegunFile | undefined> | undefined;
  try {
    while (present !== undefined) {
      next = present.wasRead.then((whole) => (whole ? begin() : undefined));
      // An error is thrown when the file's turn comes; until then it is not unhandled.
      void Promise.allSettled([next]);
      yield { path: present.path, compressed: present.chunks() };
      present = await next;
    }
  } finally {
    await present?.leave();
    const [begun] = await Promise.allSettled([next]);
    if (begun.status === 'fulfilled') await begun.value?.leave();
    await iterator.return?.();
  }
}

/** A file whose first chunk is being compressed. */
class BegunFile {
  readonly path: string;
  /** Resolves when no more of the inner tar is read: whether its end was reached. */
  readonly wasRead: Promise<boolean>;
  #tell: (whole: boolean) => void = () => undefined;
  readonly #iterator: AsyncIterator<Buffer>;
  readonly #first: Promise<IteratorResult<Buffer>>;

  constructor(
    { path, innerTar }: FileToArchive,
    compress: (innerTar: AsyncIterable<Buffer>) => AsyncIterable<Buffer>,
  ) {
    this.path = path;
    this.wasRead = new Promise((resolve) => (this.#tell = resolve));
    this.#iterator = compress(telling(innerTar, this.#tell))[Symbol.asyncIterator]();
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
    // If it failed before it read anything, `#tell` was not called.
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
