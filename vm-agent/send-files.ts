import path from 'node:path';
import { LONGEST_DATA } from '../protocol/limits.ts';
import type { Message, MessageOf } from '../protocol/messages.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { untilEachAborted } from '../protocol/timeout.ts';
import { RegularFile } from '../storage/regular-file.ts';
import { requirePlainName } from '../storage/resolve-path.ts';
import { StorageFailure } from '../storage/storage-failure.ts';
import type { Asker } from './fetch.ts';

/**
 * Opens files of a directory and gives ranges of them, in the order in which dom0 asks. Never resolves: throws when
 * dom0 closes the channel.
 */
export async function sendFiles(directory: string, { next, answer, over }: Asker): Promise<never> {
  await using files = new OpenFiles(directory);
  for (;;) {
    const request = await next();
    try {
      if (request.kind === 'open') await answer(await files.open(request));
      else if (request.kind === 'want') {
        for await (const bytes of untilEachAborted(files.range(request), over)) await answer(bytes);
      } else throw new ProtocolError(`${request.kind} in a Fetch of files`);
    } catch (error) {
      if (!(error instanceof StorageFailure)) throw error;
      const { code, message } = error.failure;
      await answer({ kind: 'lacks', code, message });
    }
  }
}

/** The files that dom0 has opened, by handle. */
class OpenFiles implements AsyncDisposable {
  readonly #directory: string;
  readonly #files = new Map<number, RegularFile>();
  /** A piece has been sent before the next is read. */
  readonly #buffer = Buffer.allocUnsafeSlow(LONGEST_DATA);

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Throws StorageFailure. */
  async open({ handle, fileName }: MessageOf<'open'>): Promise<Message> {
    await this.#files.get(handle)?.[Symbol.asyncDispose]();
    this.#files.delete(handle);
    requirePlainName(fileName);
    const file = await RegularFile.open(path.join(this.#directory, fileName), this.#buffer);
    this.#files.set(handle, file);
    return { kind: 'opened', size: file.size };
  }

  /** The order of messages has it that the file is open. Throws StorageFailure. */
  async *range({ handle, offset, length }: MessageOf<'want'>): AsyncGenerator<Message, void> {
    const file = this.#files.get(handle);
    if (file === undefined) throw new StorageFailure('BAD_REQUEST', 'the file is not open');
    let at = offset;
    for await (const bytes of file.read(offset, offset + length)) {
      yield { kind: 'data', offset: at, bytes };
      at += bytes.length;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const file of this.#files.values()) await file[Symbol.asyncDispose]();
  }
}
