import { LONGEST_DATA } from '../protocol/limits.ts';
import type { Message, MessageOf } from '../protocol/messages.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { untilEachAborted } from '../protocol/timeout.ts';
import type { BegunRange, Directory, StoredFile } from '../storage/directory.ts';
import { StorageFailure } from '../storage/storage-failure.ts';
import type { Asker } from './fetch.ts';

/** The longest text of a Lacks, in characters. */
const LONGEST_MESSAGE = 1_000;

/** A request, and the range that was begun for it ahead of its turn. */
interface Begun {
  readonly request: Message;
  readonly range: BegunRange | undefined;
}

/**
 * Opens files of a directory and sends ranges of them, in the order in which dom0 asks. What cannot be read is answered
 * with Lacks. Never resolves: throws when dom0 closes the channel.
 */
export async function sendFiles(directory: Directory, asker: Asker): Promise<never> {
  await using files = new OpenFiles(directory);
  const begun: Begun[] = [];
  try {
    for (;;) {
      while (begun.length === 0 || (begun.length < directory.ahead && asker.hasNext())) {
        begun.push(files.begin(await asker.next()));
      }
      const [first] = begun;
      if (first !== undefined) await answer(files, first, asker);
      await begun.shift()?.range?.[Symbol.asyncDispose]();
    }
  } finally {
    for (const { range } of begun) await range?.[Symbol.asyncDispose]();
  }
}

async function answer(files: OpenFiles, begun: Begun, { answer, over }: Asker): Promise<void> {
  try {
    for await (const message of untilEachAborted(files.answers(begun), over)) await answer(message);
  } catch (error) {
    if (!(error instanceof StorageFailure)) throw error;
    const { code } = error.failure;
    await answer({ kind: 'lacks', code, message: error.inFull.slice(0, LONGEST_MESSAGE) });
  }
}

/** The files that dom0 has opened, by handle. */
class OpenFiles implements AsyncDisposable {
  readonly #directory: Directory;
  readonly #files = new Map<number, StoredFile>();
  /** One is enough for all: each piece has been sent before the next one is read. */
  readonly #buffer = Buffer.allocUnsafeSlow(LONGEST_DATA);

  constructor(directory: Directory) {
    this.#directory = directory;
  }

  /** Begins the range of a Want. The conversation has checked that its file is open. */
  begin(request: Message): Begun {
    if (request.kind !== 'want') return { request, range: undefined };
    const { handle, offset, length } = request;
    return { request, range: this.#files.get(handle)?.range(offset, offset + length) };
  }

  /** The answer to a request. Throws StorageFailure. */
  async *answers({ request, range }: Begun): AsyncGenerator<Message, void> {
    if (request.kind === 'open') yield await this.#open(request);
    else if (request.kind !== 'want') {
      throw new ProtocolError(`${request.kind} in a Fetch of files`);
    } else if (range === undefined) {
      throw new StorageFailure('BAD_REQUEST', 'the file is not open');
    } else {
      let { offset } = request;
      for await (const bytes of range.read()) {
        yield { kind: 'data', offset, bytes };
        offset += bytes.length;
      }
    }
  }

  async #open({ handle, fileName }: MessageOf<'open'>): Promise<Message> {
    await this.#files.get(handle)?.[Symbol.asyncDispose]();
    this.#files.delete(handle);
    const file = await this.#directory.open(fileName, this.#buffer);
    this.#files.set(handle, file);
    return { kind: 'opened', size: file.size };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.values()) await file[Symbol.asyncDispose]();
  }
}
