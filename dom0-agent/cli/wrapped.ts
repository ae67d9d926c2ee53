import stringWidth from 'string-width';

/** A space that is not within quotes: a quoted command is not broken, so that it can be copied. */
const BETWEEN_WORDS = / (?=(?:[^`"]*[`"][^`"]*[`"])*[^`"]*$)/;
const QUOTES = /[`"]/g;

/** A line with at least this many blanks at its beginning is a command. */
const INDENTED = 4;

/**
 * A text for a terminal that is `columns` wide: sentences are broken between words, commands on their own lines are
 * not.
 */
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
 * Breaks one line of text into lines of at most `width`. With `anywhere`, longer words are broken, too; otherwise, the
 * terminal breaks them, so that a path can still be copied.
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
