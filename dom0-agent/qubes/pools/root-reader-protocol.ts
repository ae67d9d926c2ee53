import type { Readable } from 'node:stream';
import { FailedError } from '../../../shared/errors.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import type { Extent } from '../../../shared/sparse-data.ts';

/**
 * The protocol between coffer and the process that reads a volume for it as root
 * (`root-reader-server.ts`, `root-reader-client.ts`). All numbers are big-endian:
 *   question   offset (8 bytes), length (4 bytes); a length of 0 asks whether the volume is unchanged
 *   answer     kind (1 byte), length (4 bytes), then as many bytes
 * The first message is an answer without a question, in JSON: the volume's size and extents.
 */
export const QUESTION_LENGTH = 12;
export const ANSWER_HEADER_LENGTH = 5;

/** What an answer contains: the bytes asked for, or a sentence that says why not. */
export const ANSWER = { bytes: 0, failure: 1 } as const;

/** The most bytes that may be asked for at once. */
export const LONGEST_PIECE = 16 * MiB;
/** The longest sentence about a failure. */
export const LONGEST_SENTENCE = 4 * KiB;
/** The longest list of extents: at some 25 bytes each, ten million of them. */
export const LONGEST_OPENED = 256 * MiB;

export interface ReadRequest {
  readonly offset: number;
  readonly length: number;
}

export interface OpenedImage {
  /** In bytes. */
  readonly size: number;
  readonly extents: readonly Extent[];
}

export function formatReadRequest({ offset, length }: ReadRequest): Buffer {
  const bytes = Buffer.alloc(QUESTION_LENGTH);
  bytes.writeBigUInt64BE(BigInt(offset), 0);
  bytes.writeUInt32BE(length, 8);
  return bytes;
}

/** Asks whether the volume is as it was when it was opened: the answer has no bytes when it is. */
export const IS_IT_UNCHANGED: ReadRequest = { offset: 0, length: 0 };

export function parseReadRequest(bytes: Buffer): ReadRequest {
  return { offset: Number(bytes.readBigUInt64BE(0)), length: bytes.readUInt32BE(8) };
}

export function formatAnswerHeader(kind: number, length: number): Buffer {
  const bytes = Buffer.alloc(ANSWER_HEADER_LENGTH);
  bytes.writeUInt8(kind, 0);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

export function parseAnswerHeader(bytes: Buffer): { kind: number; length: number } {
  return { kind: bytes.readUInt8(0), length: bytes.readUInt32BE(1) };
}

export function formatOpened({ size, extents }: OpenedImage): Buffer {
  return Buffer.from(
    JSON.stringify([size, ...extents.flatMap(({ offset, length }) => [offset, length])]),
  );
}

/** Parses the first answer. Throws FailedError. */
export function parseOpened(bytes: Buffer): OpenedImage {
  const numbers: unknown = JSON.parse(bytes.toString());
  if (!Array.isArray(numbers) || !numbers.every((n) => Number.isSafeInteger(n))) {
    throw new FailedError('the process that reads a volume as root gave an invalid answer');
  }
  const [size = 0, ...rest] = numbers.map(Number);
  const extents: Extent[] = [];
  for (let i = 0; i + 1 < rest.length; i += 2) {
    extents.push({ offset: rest[i] ?? 0, length: rest[i + 1] ?? 0 });
  }
  return { size, extents };
}

/** Reads exact numbers of bytes from a stream, whatever its chunks. */
export class PipeReader {
  readonly #pieces: AsyncIterator<Buffer>;
  #left: Buffer = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.#pieces = (stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  }

  /** Fills `buffer`; false when the stream ends before. */
  async fill(buffer: Buffer): Promise<boolean> {
    let filled = 0;
    while (filled < buffer.length) {
      if (this.#left.length === 0) {
        const next = await this.#pieces.next();
        if (next.done === true) return false;
        this.#left = next.value;
      }
      const taken = this.#left.copy(buffer, filled);
      this.#left = this.#left.subarray(taken);
      filled += taken;
    }
    return true;
  }

  /** The next `length` bytes, which the caller bounds; undefined when the stream ends before. */
  async take(length: number): Promise<Buffer | undefined> {
    const buffer = Buffer.alloc(length);
    return (await this.fill(buffer)) ? buffer : undefined;
  }
}
