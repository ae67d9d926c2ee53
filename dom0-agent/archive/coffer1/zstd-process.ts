import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { ChildProcess, describeEnd, whyNotRun } from '../../../shared/child-process.ts';
import { reasonOf, systemCodeOf } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { FilterError } from '../compress/filter.ts';
import { ZstdFrameEnd } from './zstd-frame.ts';

/** How many frames one zstd makes: each is a file among its arguments. */
const FRAMES = 512;

/** The descriptors of two pipes, which stand for the files in turn: at the end of one, zstd goes on with the other. */
const PIPES = [3, 4] as const;

/**
 * Makes the pipes, which Node cannot, and becomes zstd once this program has opened the first one: zstd would take a
 * pipe without a writer for an empty file. `stdbuf`: the end of a frame must not wait in zstd's buffer for the next
 * frame.
 */
const SCRIPT = `exec 3< <(:) 4< <(:) && echo && read -r && exec stdbuf -o0 zstd -q -c -T1 "$@"`;

/**
 * A zstd process that compresses one part after the other, each into a frame of its own: the pipes stand for its input
 * files. It ends when this program does, since its pipes end then.
 */
export class ZstdProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #output: AsyncIterator<Buffer>;
  readonly #signal: AbortSignal;
  #left = FRAMES;
  /** The pipe that zstd reads, or will read next. */
  #input: Promise<FileHandle>;
  #writing: Promise<void> = Promise.resolve();

  constructor(signal: AbortSignal) {
    signal.throwIfAborted();
    this.#signal = signal;
    const files = Array.from({ length: FRAMES }, (_, i) => `/dev/fd/${pipeFor(i)}`);
    // -p: ignores BASH_ENV and functions in the environment. --norc: bash takes a socket, which Node gives it for a
    // pipe, for a remote shell, and would read .bashrc.
    this.#child = new ChildProcess(['bash', '--norc', '-p', '-c', SCRIPT, 'zstd', ...files], {
      stdin: 'pipe',
      env: { ...process.env, LC_ALL: 'C' },
      signal,
    });
    this.#output = (this.#child.stdout as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    this.#input = this.#begin();
    // Its error is thrown when the first part is compressed; until then it must not count as unhandled.
    void Promise.allSettled([this.#input]);
  }

  /** Whether it has made all the frames that it can. */
  get isUsedUp(): boolean {
    return this.#left === 0;
  }

  /**
   * Compresses `bytes` into `target`, which must have room for it, and returns the frame. One at a time. Throws
   * FilterError.
   */
  async compress(bytes: Buffer, target: Buffer): Promise<Buffer> {
    const input = await this.#input;
    this.#left--;
    if (!this.isUsedUp) this.#input = this.#openPipe(FRAMES - this.#left);
    this.#writing = this.#write(input, bytes);
    // For a broken pipe, the way in which zstd ended is the better error.
    void Promise.allSettled([this.#writing]);
    const frame = await this.#readFrame(target);
    // If not everything was written, the frame looks complete nevertheless.
    await this.#writing;
    return frame;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
    const [input] = await Promise.allSettled([this.#input, this.#writing]);
    if (input.status === 'fulfilled') await input.value.close();
  }

  /** Waits until bash has made the pipes, opens the first one, and lets zstd start. */
  async #begin(): Promise<FileHandle> {
    const next = await this.#output.next();
    if (next.done === true) throw await this.#failure();
    const pipe = await this.#openPipe(0);
    this.#child.stdin.end('\n');
    return pipe;
  }

  /** The writing end of the pipe for file number `file`. */
  async #openPipe(file: number): Promise<FileHandle> {
    try {
      return await open(`/proc/${this.#child.pid ?? ''}/fd/${pipeFor(file)}`, constants.O_WRONLY);
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') throw await this.#failure();
      throw new FilterError(`zstd cannot be given data: ${reasonOf(error)}`, false);
    }
  }

  /** Writes, on another thread, and closes the pipe, which is the end of the file for zstd. */
  async #write(pipe: FileHandle, bytes: Buffer): Promise<void> {
    try {
      // The next pipe must be open before this one ends: without a writer, it would be an empty file for zstd.
      await this.#input;
      for (let written = 0; written < bytes.length;) {
        written += (await pipe.write(bytes, written)).bytesWritten;
      }
    } finally {
      await pipe.close();
    }
  }

  async #readFrame(target: Buffer): Promise<Buffer> {
    const end = new ZstdFrameEnd();
    let length = 0;
    for (;;) {
      const next = await this.#output.next();
      if (next.done === true) throw await this.#failure();
      const piece = next.value;
      noteBuffer(piece.length);
      const ended = end.see(piece);
      if (length + piece.length > target.length || (ended ?? piece.length) < piece.length) {
        throw new FilterError('zstd printed too much', true);
      }
      piece.copy(target, length);
      length += piece.length;
      if (ended !== undefined) return target.subarray(0, length);
    }
  }

  async #failure(): Promise<Error> {
    const end = await this.#child.ended;
    this.#signal.throwIfAborted();
    if (end.notRun) return new FilterError(whyNotRun('bash', end.notRun), false);
    const words = printable(end.untrustedStderr);
    return new FilterError(`zstd ${describeEnd(end)}${words === '' ? '' : `: ${words}`}`, true);
  }
}

function pipeFor(file: number): number {
  return PIPES[file % 2] ?? 0;
}
