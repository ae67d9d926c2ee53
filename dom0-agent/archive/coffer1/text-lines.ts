import { DamagedError } from '../../../shared/errors.ts';

/** No line of a map or a table is longer. */
const LONGEST_LINE = 1000;

/** How numbers are written: in decimal, nothing before the first digit. */
export const NUMBER = '(?:0|[1-9][0-9]{0,14})';
/** A path or a domain: printable ASCII without spaces. */
export const WORD = '[\\x21-\\x7e]{1,100}';

/** The text of a map, a table or a manifest is not what coffer writes. It is authentic: nobody else's fault. */
export function invalid(what: string): DamagedError {
  return new DamagedError(`${what} of the backup is not valid, though authentic`);
}

/**
 * The lines of a text that comes in pieces of any length, without their ends; those of a piece at a time, as there
 * may be millions. Throws DamagedError when a line is far too long, or the text does not end with a line.
 *
 * @param what for the error: `the map of vm5/private.img`
 */
export async function* textLines(
  pieces: AsyncIterable<Buffer>,
  what: string,
): AsyncGenerator<string[], void, undefined> {
  let rest = '';
  for await (const piece of pieces) {
    const lines = (rest + piece.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > LONGEST_LINE) throw invalid(what);
    yield lines;
  }
  if (rest !== '') throw invalid(what);
}

/** Lines, each ended by a line feed, put together into pieces of some 64 KiB. */
export function* textPieces(lines: Iterable<string>): Generator<Buffer, void, undefined> {
  let text = '';
  for (const line of lines) {
    text += `${line}\n`;
    if (text.length < 64 * 1024) continue;
    yield Buffer.from(text, 'latin1');
    text = '';
  }
  if (text !== '') yield Buffer.from(text, 'latin1');
}
