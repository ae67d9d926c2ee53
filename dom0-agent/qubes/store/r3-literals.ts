import { DamagedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';

/** A Python string without escapes: `'02:00.0'`, `u"x"`. */
const STRING = `u?(?:'([^'"\\\\]*)'|"([^'"\\\\]*)")`;
const ENTRY = new RegExp(`^\\s*${STRING}\\s*:\\s*(True|False|0|1)\\s*$`);
const ITEM = new RegExp(`^\\s*${STRING}\\s*$`);

/**
 * Reads a Python dictionary of strings to booleans, `{'cups': True, 'ntpd': False}`, as the attribute
 * `services` of an R3 qubes.xml holds it. Throws DamagedError.
 */
export function parseSwitches(untrustedText: string): Map<string, boolean> {
  const switches = new Map<string, boolean>();
  for (const untrustedEntry of splitLiteral(untrustedText, '{', '}')) {
    const match = ENTRY.exec(untrustedEntry);
    if (match === null) throw unreadable(untrustedText);
    switches.set(match[1] ?? match[2] ?? '', match[3] === 'True' || match[3] === '1');
  }
  return switches;
}

/**
 * Reads a Python list of strings, `['02:00.0']`, as the attribute `pcidevs` holds it; `none`, too.
 * Throws DamagedError.
 */
export function parseStrings(untrustedText: string): string[] {
  if (untrustedText.toLowerCase() === 'none') return [];
  return splitLiteral(untrustedText, '[', ']').map((untrustedItem) => {
    const match = ITEM.exec(untrustedItem);
    if (match === null) throw unreadable(untrustedText);
    return match[1] ?? match[2] ?? '';
  });
}

/** The entries between the brackets. None of the strings in these attributes holds a comma. */
function splitLiteral(untrustedText: string, open: string, close: string): string[] {
  const untrustedTrimmed = untrustedText.trim();
  if (!untrustedTrimmed.startsWith(open) || !untrustedTrimmed.endsWith(close)) {
    throw unreadable(untrustedText);
  }
  const untrustedEntries = untrustedTrimmed.slice(1, -1).split(',');
  // An empty list, or a comma after the last entry.
  if (untrustedEntries.at(-1)?.trim() === '') untrustedEntries.pop();
  return untrustedEntries;
}

function unreadable(untrustedText: string): DamagedError {
  return new DamagedError(
    `qubes.xml in the backup holds settings that cannot be read: ${printable(untrustedText, 60)}`,
  );
}
