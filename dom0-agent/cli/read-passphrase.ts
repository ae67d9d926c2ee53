import { constants, createReadStream, fstatSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { stdin } from 'node:process';
import { type Readable, addAbortSignal } from 'node:stream';
import { RefusedError, reasonOf } from '../../shared/errors.ts';
import { KiB } from '../../shared/sizes.ts';

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** In bytes: a longer line is refused. */
const LONGEST_LINE = 64 * KiB;

/**
 * The first line of a file, or of standard input for `-`, as bytes: everything before the first line feed, without
 * a carriage return at its end. What was read after it is wiped. Throws RefusedError when it cannot be read.
 */
export async function firstLineOf(source: string, signal: AbortSignal): Promise<Buffer> {
  try {
    const input = source === '-' ? stdin : openInput(source);
    const hasLine = (bytes: Buffer): boolean =>
      bytes.includes(LINE_FEED) || bytes.length > LONGEST_LINE;
    return lineOf(await readUntil(addAbortSignal(signal, input), hasLine));
  } catch (error) {
    signal.throwIfAborted();
    throw new RefusedError(`the passphrase file ${source} cannot be read: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** Opens a file without blocking one of Node's threads, which would keep it from exiting: a FIFO may have no writer. */
function openInput(file: string): Readable {
  const fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  return fstatSync(fd).isFIFO()
    ? new Socket({ fd, writable: false })
    : createReadStream('', { fd });
}

/** Reads up to the end of the input, or until `isEnough` returns true; other copies of what was read are wiped. */
export async function readUntil(
  input: Readable,
  isEnough: (bytes: Buffer) => boolean,
): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of input as AsyncIterable<Buffer>) {
    const former = bytes;
    bytes = Buffer.concat([former, chunk]);
    former.fill(0);
    chunk.fill(0);
    if (isEnough(bytes)) break;
  }
  return bytes;
}

function lineOf(beginning: Buffer): Buffer {
  const lineFeed = beginning.indexOf(LINE_FEED);
  const end = lineFeed < 0 ? beginning.length : lineFeed;
  if (end > LONGEST_LINE) throw new Error('its first line is longer than 64 KiB');
  const line = Buffer.from(
    beginning.subarray(0, beginning[end - 1] === CARRIAGE_RETURN ? end - 1 : end),
  );
  beginning.fill(0);
  return line;
}
