import stringWidth from 'string-width';

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
  for (const word of text.split(' ')) {
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
