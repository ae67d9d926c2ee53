import { promisify } from 'node:util';
import { gzip as gzipCallback } from 'node:zlib';
import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { Semaphore } from '../../../shared/semaphore.ts';
import type { Coffer1Filter } from './coffer1-header.ts';
import { LONGEST_RAW, writeRawFrame } from './raw-frame.ts';
import { ZstdProcess } from './zstd-process.ts';

const gzip = promisify(gzipCallback);

/** Compresses parts, each into a frame of its own. */
export interface FrameCompressor extends AsyncDisposable {
  /**
   * Compresses `bytes` into the beginning of `target`, which must have room for the frame, and returns the frame. May
   * be called concurrently. Throws FilterError.
   */
  compress(bytes: Buffer, target: Buffer): Promise<Buffer>;
}

/**
 * The compressor for a filter.
 *
 * @param atOnce how many zstd processes may run at the same time; gzip uses Node's threads instead
 */
export function frameCompressor(
  filter: Coffer1Filter,
  atOnce: number,
  signal: AbortSignal,
): FrameCompressor {
  return filter === 'gzip' ? new GzipFrames() : new ZstdFrames(atOnce, signal);
}

/** Uses zlib, on Node's threads. Concatenated gzip members are one gzip file (RFC 1952, 2.2). */
class GzipFrames implements FrameCompressor {
  async compress(bytes: Buffer, target: Buffer): Promise<Buffer> {
    const frame = await gzip(bytes, { level: 6, memLevel: 9 });
    noteBuffer(2 * frame.length);
    return target.subarray(0, frame.copy(target));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

/** Uses several zstd processes; short texts need none. */
class ZstdFrames implements FrameCompressor {
  readonly #signal: AbortSignal;
  readonly #atOnce: Semaphore;
  readonly #idle: ZstdProcess[] = [];
  readonly #all = new Set<ZstdProcess>();

  constructor(atOnce: number, signal: AbortSignal) {
    this.#atOnce = new Semaphore(atOnce);
    this.#signal = signal;
  }

  compress(bytes: Buffer, target: Buffer): Promise<Buffer> {
    if (bytes.length <= LONGEST_RAW) return Promise.resolve(writeRawFrame(bytes, target));
    return this.#atOnce.run(() => this.#compressNow(bytes, target), this.#signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#all].map((zstd) => this.#end(zstd)));
  }

  /** A zstd that failed is not used again. */
  async #compressNow(bytes: Buffer, target: Buffer): Promise<Buffer> {
    const zstd = this.#idle.pop() ?? this.#start();
    const frame = await zstd.compress(bytes, target);
    if (zstd.isUsedUp) await this.#end(zstd);
    else this.#idle.push(zstd);
    return frame;
  }

  #start(): ZstdProcess {
    const zstd = new ZstdProcess(this.#signal);
    this.#all.add(zstd);
    return zstd;
  }

  async #end(zstd: ZstdProcess): Promise<void> {
    this.#all.delete(zstd);
    await zstd[Symbol.asyncDispose]();
  }
}
