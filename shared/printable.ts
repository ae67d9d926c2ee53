/** The longest text of the other side that is shown to the user, in characters. */
const LONGEST_TEXT = 500;

/**
 * Text from the other side of a trust boundary, made fit to be shown: control, format and other
 * invisible characters (escape sequences, changes of direction) become `?`, and a long
 * text is cut.
 */
export function printable(untrustedText: string, longest = LONGEST_TEXT): string {
  const cut = untrustedText.slice(0, longest);
  const visible = cut.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Cn}\p{Zl}\p{Zp}]/gu, '?');
  return untrustedText.length > longest ? `${visible}…` : visible;
}
