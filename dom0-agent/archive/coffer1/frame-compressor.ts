import { promisify } from 'node:util';
import { gzip as gzipCallback } from 'node:zlib';
import { ChildProcess, describeEnd, whyNotRun } from '../../../shared/child-process.ts';
import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { printable } from '../../../shared/printable.ts';
import { FilterError } from '../compress/filter.ts';
import type { Coffer1Filter } from './coffer1-header.ts';
import { ZstdFrameEnd } from './zstd-frame.ts';

const gzip = promisify(gzipCallback);

/** Compresses parts, each into a frame of its own. */
export interface FrameCompressor extends AsyncDisposable {
  /** The frame, in memory of its own. Several may be asked for at a time. Throws FilterError. */
  compress(bytes: Buffer): Promise<Buffer>;
}

/** Compresses on `atOnce` cores. What waits for them waits in memory. */
export function frameCompressor(
  filter: Coffer1Filter,
  atOnce: number,
  signal: AbortSignal,
): FrameCompressor {
  return filter === 'gzip' ? new GzipFrames() : new ZstdFrames(atOnce, signal);
}

/** By zlib, on Node's threads. Members in a row are one gzip file (RFC 1952, 2.2). */
class GzipFrames implements FrameCompressor {
  async compress(bytes: Buffer): Promise<Buffer> {
    const frame = await gzip(bytes, { level: 6, memLevel: 9 });
    noteBuffer(2 * frame.length);
    return frame;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

/** By shells that run zstd for one part after the other: to start a program is cheaper there than here. */
class ZstdFrames implements FrameCompressor {
  readonly #signal: AbortSignal;
  readonly #shells: ZstdShell[] = [];
  readonly #idle: ZstdShell[] = [];
  readonly #waiting: ((shell: ZstdShell) => void)[] = [];
  readonly #atOnce: number;

  constructor(atOnce: number, signal: AbortSignal) {
    this.#atOnce = atOnce;
    this.#signal = signal;
  }

  async compress(bytes: Buffer): Promise<Buffer> {
    const shell = await this.#take();
    try {
      return await shell.compress(bytes);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#idle.push(shell);
      else next(shell);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#shells.map((shell) => shell[Symbol.asyncDispose]()));
  }

  async #take(): Promise<ZstdShell> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#shells.length >= this.#atOnce) {
      return new Promise((resolve) => this.#waiting.push(resolve));
    }
    const shell = new ZstdShell(this.#signal);
    this.#shells.push(shell);
    return shell;
  }
}

/** Each part comes behind a line with its length. zstd notes it in the frame, and fails when fewer bytes come. */
const LOOP = `while read -r length; do
  head -c "$length" | zstd -q -c --single-thread --stream-size="$length" || exit
done`;

class ZstdShell implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #output: AsyncIterator<Buffer>;
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    signal.throwIfAborted();
    this.#signal = signal;
    this.#child = new ChildProcess(['sh', '-c', LOOP], {
      stdin: 'pipe',
      env: { ...process.env, LC_ALL: 'C' },
      signal,
    });
    this.#output = (this.#child.stdout as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  }

  async compress(bytes: Buffer): Promise<Buffer> {
    const { stdin } = this.#child;
    if (!stdin.destroyed) {
      stdin.write(`${bytes.length}\n`);
      stdin.write(bytes);
    }
    const end = new ZstdFrameEnd();
    const pieces: Buffer[] = [];
    for (;;) {
      const next = await this.#output.next();
      if (next.done === true) throw await this.#failure();
      noteBuffer(2 * next.value.length);
      const length = end.see(next.value);
      pieces.push(next.value);
      if (length === undefined) continue;
      if (length < next.value.length) throw new FilterError('zstd printed too much', true);
      return Buffer.concat(pieces);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }

  async #failure(): Promise<Error> {
    const end = await this.#child.ended;
    this.#signal.throwIfAborted();
    if (end.notRun) return new FilterError(whyNotRun('sh', end.notRun), false);
    const words = printable(end.untrustedStderr);
    return new FilterError(`zstd ${describeEnd(end)}${words === '' ? '' : `: ${words}`}`, true);
  }
}
