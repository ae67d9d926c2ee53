import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import {
  type ZlibOptions,
  deflateRaw as deflateRawCallback,
  gzip as gzipCallback,
} from 'node:zlib';
import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import { BufferPool } from '../parts/buffer-pool.ts';
import { cutIntoBuffers } from '../parts/cut-into-buffers.ts';

const gzip = promisify<Buffer, ZlibOptions, Buffer>(gzipCallback);
const deflateRaw = promisify<Buffer, ZlibOptions, Buffer>(deflateRawCallback);

/** Large enough that restarting compression for each block costs only about half a percent in size. */
const BLOCK = 1 * MiB;
/** Room for a block that does not compress: deflate then adds 5 bytes for each 16 KiB. */
const LARGEST_MEMBER = BLOCK + 16 * KiB;

/** Four samples of this many bytes are taken of a block, evenly spaced. */
const SAMPLE = 8 * KiB;
/** A block is not worth compressing unless its samples shrink below this fraction. */
const WORTHWHILE = 0.97;

/**
 * `source`, compressed by zlib on Node's threads, as many blocks at a time as there are processors, plus one.
 * Each block becomes a gzip member; concatenated members are a gzip file (RFC 1952, 2.2), which every
 * `gzip -d` reads as a whole.
 */
export async function* parallelGzip(
  source: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const atOnce = availableParallelism() + 1;
  const pool = new BufferPool((atOnce + 1) * BLOCK, signal);
  const compress = async (bytes: Buffer, buffer: Buffer): Promise<Buffer> => {
    try {
      const level = (await isWorthCompressing(bytes)) ? 6 : 0;
      return await gzip(bytes, { level, memLevel: 9, chunkSize: LARGEST_MEMBER });
    } finally {
      pool.give(buffer);
      noteBuffer(LARGEST_MEMBER);
    }
  };
  const running: Promise<Buffer>[] = [];
  try {
    for await (const { bytes, buffer } of cutIntoBuffers(source, BLOCK, pool)) {
      signal.throwIfAborted();
      running.push(compress(bytes, buffer));
      if (running.length < atOnce) continue;
      const member = await running.shift();
      if (member !== undefined) yield member;
    }
    for (const member of running) yield await member;
  } finally {
    await Promise.allSettled(running);
  }
}

/**
 * Whether samples of a block shrink. Data that is already compressed or encrypted, a third of many disks,
 * would take as long as anything else, for nothing.
 */
async function isWorthCompressing(block: Buffer): Promise<boolean> {
  const step = Math.max(SAMPLE, Math.floor(block.length / 4));
  const starts = [0, step, 2 * step, 3 * step].filter((start) => start < block.length);
  const samples = Buffer.concat(starts.map((start) => block.subarray(start, start + SAMPLE)));
  const compressed = await deflateRaw(samples, { level: 1 });
  return compressed.length < WORTHWHILE * samples.length;
}
