import { pipeline } from 'node:stream/promises';
import { createUnzip } from 'node:zlib';
import { DamagedError, messageOf, systemCodeOf } from '../../../shared/errors.ts';

/** Whether these bytes begin a gzip (RFC 1952) or zlib (RFC 1950) stream, as `unzip` accepts. */
export function isZipped(bytes: Buffer): boolean {
  if (bytes.length < 2) return false;
  const beginning = bytes.readUInt16BE(0);
  return beginning === 0x1f8b || ((beginning & 0x0f00) === 0x0800 && beginning % 31 === 0);
}

/**
 * One part of format 2, decompressed: it was written by `gzip` or, in encrypted archives, by `openssl enc -z`
 * (zlib). `name` is for messages. Throws DamagedError.
 */
export async function* unzip(
  source: AsyncIterable<Buffer>,
  name: string,
): AsyncGenerator<Buffer, void, undefined> {
  const stream = createUnzip();
  const fed = pipeline(source, stream);
  // Its error is thrown by the stream; here it must only not be unhandled.
  void Promise.allSettled([fed]);
  try {
    yield* stream as AsyncIterable<Buffer>;
  } catch (cause) {
    if (systemCodeOf(cause)?.startsWith('Z_') !== true) throw cause;
    throw new DamagedError(`${name} in the backup cannot be decompressed: ${messageOf(cause)}`, {
      cause,
    });
  } finally {
    stream.destroy();
    await Promise.allSettled([fed]);
  }
}
