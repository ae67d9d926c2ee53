import { noteBuffer } from '../../../shared/buffer-collection.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { linesIn } from '../../../shared/lines.ts';

/** How many bytes of objects become garbage for each byte of text, or more: a map of a terabyte has megabytes. */
const GARBAGE = 16;
/** No line of a map or a table is longer, in characters. */
const LONGEST_LINE = 1000;

/** How numbers are written: in decimal, without leading zeros. */
export const NUMBER = '(?:0|[1-9][0-9]{0,14})';
/** A path or a domain: printable ASCII without spaces. */
export const WORD = '[\\x21-\\x7e]{1,100}';

/** The error for an authentic text that is not as coffer writes it: only a bug can cause it. */
export function invalid(what: string): DamagedError {
  return new DamagedError(`${what} of the backup is not valid, though authentic`);
}

/**
 * The lines of a text that comes in pieces of any length, without their line feeds. They come in batches, one for each
 * piece, since there may be millions. Throws DamagedError when a line is far too long, or the last one has no line
 * feed.
 *
 * @param what for the error: `the map of vm5/private.img`
 */
export function textLines(
  pieces: AsyncIterable<Buffer>,
  what: string,
): AsyncGenerator<readonly string[], void, undefined> {
  const refusal = (): Error => invalid(what);
  return linesIn(latin1(pieces), LONGEST_LINE, refusal, refusal);
}

async function* latin1(pieces: AsyncIterable<Buffer>): AsyncGenerator<string, void, undefined> {
  for await (const piece of pieces) {
    noteBuffer(GARBAGE * piece.length);
    yield piece.toString('latin1');
  }
}

/** Lines, each with a line feed added, joined into pieces of about 64 KiB. */
export function* textPieces(lines: Iterable<string>): Generator<Buffer, void, undefined> {
  let text = '';
  for (const line of lines) {
    text += `${line}\n`;
    if (text.length < 64 * 1024) continue;
    noteBuffer(GARBAGE * text.length);
    yield Buffer.from(text, 'latin1');
    text = '';
  }
  if (text !== '') yield Buffer.from(text, 'latin1');
}
