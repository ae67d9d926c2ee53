/** A Python string without escapes: `'02:00.0'`, `u"x"`. */
const STRING = `u?(?:'([^'"\\\\]*)'|"([^'"\\\\]*)")`;
const ENTRY = new RegExp(`^\\s*${STRING}\\s*:\\s*(True|False|0|1)\\s*$`);
const ITEM = new RegExp(`^\\s*${STRING}\\s*$`);

/**
 * Parses a Python dictionary of strings to booleans, `{'cups': True, 'ntpd': False}`, the form of the attribute
 * `services` of an R3 qubes.xml. Undefined for anything else.
 */
export function parseSwitches(untrustedText: string): Map<string, boolean> | undefined {
  const switches = new Map<string, boolean>();
  const untrustedEntries = splitLiteral(untrustedText, '{', '}');
  if (untrustedEntries === undefined) return undefined;
  for (const untrustedEntry of untrustedEntries) {
    const match = ENTRY.exec(untrustedEntry);
    if (match === null) return undefined;
    switches.set(match[1] ?? match[2] ?? '', match[3] === 'True' || match[3] === '1');
  }
  return switches;
}

/**
 * Parses a Python list of strings, `['02:00.0']`, the form of the attribute `pcidevs`, or `none`. Undefined for
 * anything else.
 */
export function parseStrings(untrustedText: string): string[] | undefined {
  if (untrustedText.toLowerCase() === 'none') return [];
  const strings: string[] = [];
  const untrustedItems = splitLiteral(untrustedText, '[', ']');
  if (untrustedItems === undefined) return undefined;
  for (const untrustedItem of untrustedItems) {
    const match = ITEM.exec(untrustedItem);
    if (match === null) return undefined;
    strings.push(match[1] ?? match[2] ?? '');
  }
  return strings;
}

/** The entries between the brackets. None of the strings in these attributes contains a comma. */
function splitLiteral(untrustedText: string, open: string, close: string): string[] | undefined {
  const untrustedTrimmed = untrustedText.trim();
  if (!untrustedTrimmed.startsWith(open) || !untrustedTrimmed.endsWith(close)) return undefined;
  const untrustedEntries = untrustedTrimmed.slice(1, -1).split(',');
  // An empty list, or a comma after the last entry.
  if (untrustedEntries.at(-1)?.trim() === '') untrustedEntries.pop();
  return untrustedEntries;
}
