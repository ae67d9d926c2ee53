import stringWidth from 'string-width';

/** A space that is not within quotes: a command between them stays whole, so that it can be copied. */
const BETWEEN_WORDS = / (?=(?:[^`"]*[`"][^`"]*[`"])*[^`"]*$)/;
const QUOTES = /[`"]/g;

/** From this indentation on, a line is a command. */
const INDENTED = 4;

/** A text for a terminal of `columns`: sentences are broken between words, commands on a line of their own are not. */
export function fitted(text: string, columns: number): string {
  return text
    .split('\n')
    .flatMap((line) => {
      const indent = /^ */.exec(line)?.[0] ?? '';
      if (indent.length >= INDENTED || stringWidth(line) <= columns) return [line];
      const lines = wrapped(line.slice(indent.length), columns - indent.length, 'between words');
      return lines.map((each) => indent + each);
    })
    .join('\n');
}

/**
 * One line of text as lines of at most `width`. A longer word is broken only `anywhere`: else it stays whole, so that a
 * path can be copied, and the terminal breaks it.
 */
export function wrapped(
  text: string,
  width: number,
  where: 'between words' | 'anywhere',
): string[] {
  const lines: string[] = [];
  let line = '';
  const arePaired = (text.match(QUOTES)?.length ?? 0) % 2 === 0;
  for (const word of text.split(where === 'between words' && arePaired ? BETWEEN_WORDS : ' ')) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (stringWidth(longer) <= width) {
      line = longer;
      continue;
    }
    if (line !== '') lines.push(line);
    const pieces = where === 'anywhere' ? broken(word, width) : [word];
    lines.push(...pieces.slice(0, -1));
    line = pieces.at(-1) ?? '';
  }
  return [...lines, line];
}

/** A word in pieces of at most `width`. */
function broken(word: string, width: number): string[] {
  const pieces = [''];
  for (const character of word) {
    const last = (pieces.at(-1) ?? '') + character;
    if (stringWidth(last) > width && last !== character) pieces.push(character);
    else pieces[pieces.length - 1] = last;
  }
  return pieces;
}
