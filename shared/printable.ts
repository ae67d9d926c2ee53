/** The longest text of the other side that is shown to the user, in characters. */
const LONGEST_TEXT = 500;

/**
 * Characters that are not seen, or that change what is seen around them: control characters (escape
 * sequences among them), changes of direction, separators of lines, whatever has no width or no glyph.
 */
const UNSEEN =
  /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Cn}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/**
 * Text from the other side of a trust boundary, made fit to be shown: characters that are not seen become
 * `?`, and a long text is cut. It is one line then.
 */
export function printable(untrustedText: string, longest = LONGEST_TEXT): string {
  const visible = untrustedText.slice(0, longest).replace(UNSEEN, '?');
  return untrustedText.length > longest ? `${visible}…` : visible;
}

/** The same for what a program said in one line or several: white space of any kind becomes one blank. */
export function printableWords(untrustedText: string, longest = LONGEST_TEXT): string {
  return printable(untrustedText.trim().replace(/\s+/g, ' '), longest);
}

/** The same for text of several lines, whatever its length. */
export function printableLines(untrustedText: string): string {
  return untrustedText.replace(UNSEEN, (character) => (character === '\n' ? '\n' : '?'));
}

/** JSON on one line in which every such character is escaped, so that it can be shown, too. */
export function printableJson(object: object): string {
  return JSON.stringify(object).replace(UNSEEN, (character) =>
    Array.from(
      { length: character.length },
      (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`,
    ).join(''),
  );
}
