import { LONGEST_NAME, MOST_ENTRIES } from '../protocol/limits.ts';
import type { Entry } from '../protocol/messages.ts';
import { HARMLESS_NAME } from '../shared/harmless-name.ts';
import { linesIn } from '../shared/lines.ts';
import type { DirectoryListing } from './directory.ts';

/** The longest line of a listing, in characters. */
const LONGEST_LINE = 4096;
/** The size of a file in bytes, one space, its name. */
const LINE = /^(\d{1,15}) ([^/\0]+)$/;

/**
 * Parses the listing that a command prints: a line `SIZE NAME` for each file, up to MOST_ENTRIES. A file whose name
 * must not be passed to a command (see HARMLESS_NAME) gets the kind OTHER, so that it is never requested.
 *
 * @param invalid makes the error for an invalid listing; it is told what is wrong
 */
export async function parseListing(
  chunks: AsyncIterable<Buffer>,
  invalid: (what: string) => Error,
): Promise<Pick<DirectoryListing, 'entries' | 'truncated'>> {
  const entries: Entry[] = [];
  const tooLong = (): Error => invalid('it gave a line that is far too long');
  for await (const lines of linesIn(asText(chunks), LONGEST_LINE, tooLong)) {
    for (const line of lines) {
      if (line === '') continue;
      const [, size, name] = LINE.exec(line) ?? [];
      if (size === undefined || name === undefined || name === '.' || name === '..') {
        throw invalid('it gave a line that is not "SIZE NAME"');
      }
      if (entries.length === MOST_ENTRIES) return { entries, truncated: true };
      entries.push(
        HARMLESS_NAME.test(name)
          ? { name, kind: 'FILE', size: Number(size) }
          : { name: name.slice(0, LONGEST_NAME), kind: 'OTHER', size: 0 },
      );
    }
  }
  return { entries, truncated: false };
}

async function* asText(chunks: AsyncIterable<Buffer>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder();
  for await (const chunk of chunks) yield decoder.decode(chunk, { stream: true });
}
