import { printable } from '../../shared/printable.ts';

/** So much of what a process wrote last is shown, in characters. */
const LONGEST_WORDS = 600;

/** The last lines that a process in a VM wrote, in one line that is fit to be shown. */
export function lastWords(untrustedText: string): string {
  const lines = untrustedText.split(/\r?\n/).filter((line) => line.trim() !== '');
  return printable(lines.join(' / ').slice(-LONGEST_WORDS), LONGEST_WORDS);
}
