/** How hard a passphrase is to guess. */
export type Strength = 'very weak' | 'weak' | 'fair' | 'strong';

/** Kinds of characters, and how many there are of each. */
const KINDS: readonly (readonly [RegExp, number])[] = [
  [/[a-z]/, 26],
  [/[A-Z]/, 26],
  [/[0-9]/, 10],
  [/[^a-zA-Z0-9]/, 30],
];

/**
 * A cautious estimate: repeated characters count little, and a word counts as much as one from a list of some
 * thousands.
 */
export function strengthOf(passphrase: string): Strength {
  const bits = Math.min(bitsOfCharacters(passphrase), bitsOfWords(passphrase));
  if (bits < 28) return 'very weak';
  if (bits < 45) return 'weak';
  return bits < 64 ? 'fair' : 'strong';
}

function bitsOfCharacters(text: string): number {
  const characters = Array.from(text);
  const all = KINDS.reduce((sum, [kind, count]) => sum + (kind.test(text) ? count : 0), 0);
  // For a repeated character, only its position has to be guessed.
  const distinct = new Set(characters).size;
  return distinct * Math.log2(Math.max(all, 1)) + (characters.length - distinct);
}

/** Letters in a row count as a word of at most 13 bits, unless they are too long or mixed in case; then as letters. */
function bitsOfWords(text: string): number {
  const words = text.match(/\p{L}+/gu) ?? [];
  const others = Array.from(text.replace(/\p{L}+/gu, ''));
  const ofWord = (word: string): number => {
    const isOrdinary = /^\p{Lu}?\p{Ll}*$|^\p{Lu}+$/u.test(word) && word.length <= 12;
    return isOrdinary ? Math.min(13, word.length * 4.7) : word.length * 4.7;
  };
  return words.reduce((sum, word) => sum + ofWord(word), others.length * 3.3);
}
