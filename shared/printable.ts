/** The longest text from the other side that is shown to the user, in characters. */
const LONGEST_TEXT = 500;

/**
 * Characters that are invisible, or that change the text around them: control characters (including escape
 * sequences), changes of direction, line separators, anything without width or glyph.
 */
const UNSEEN =
  /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/**
 * Text from the other side of a trust boundary, made safe to show: invisible characters become `?`, and a long text
 * is cut. The result is one line.
 */
export function printable(untrustedText: string, longest = LONGEST_TEXT): string {
  const visible = untrustedText.slice(0, longest).replace(UNSEEN, '?');
  return untrustedText.length > longest ? `${visible}…` : visible;
}

/** The same for program output of one or more lines: white space of any kind becomes one blank. */
export function printableWords(untrustedText: string, longest = LONGEST_TEXT): string {
  return printable(untrustedText.trim().replace(/\s+/g, ' '), longest);
}

/** The same for text of several lines, whatever its length. */
export function printableLines(untrustedText: string): string {
  return untrustedText.replace(UNSEEN, (character) => (character === '\n' ? '\n' : '?'));
}

/**
 * JSON on one line, with every such character escaped, so that it is safe to show, too. Undefined values become null.
 */
export function printableJson(object: object): string {
  const json = JSON.stringify(object, (_, value: unknown) => (value === undefined ? null : value));
  return json.replace(UNSEEN, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}
