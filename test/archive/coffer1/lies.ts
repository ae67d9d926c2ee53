type Lie = readonly [what: string, lie: (text: string) => string];

const replacing =
  (from: RegExp, to: string) =>
  (text: string): string => {
    if (!from.test(text)) throw new Error(`there is nothing like ${from.source}`);
    return text.replace(from, to);
  };

/** Changes to the map of a volume of 200,000 bytes in two parts of two chunks each. */
export const LYING_MAPS: readonly Lie[] = [
  ['is not a map', () => 'something else\n'],
  ['has no end line', replacing(/^end .*\n/m, '')],
  ['has a line after its end', (text) => `${text}run 0 1 0 0 0\n`],
  ['is that of another volume', replacing(/^volume .*$/m, 'volume vm6/private.img')],
  ['has another grain', replacing(/^grain .*$/m, 'grain 131072')],
  ['gives an impossibly large size', replacing(/^size .*$/m, 'size 999999999999999')],
  ['does not name its VM and volume', replacing(/^origin .*\n/m, '')],
  ['gives a size that is not a number', replacing(/^size .*$/m, 'size x')],
  ['names a part that does not exist', replacing(/^run 2 2 0 1 0$/m, 'run 2 2 0 7 0')],
  ['names chunks that a part does not have', replacing(/^run 2 2 0 1 0$/m, 'run 2 2 0 1 1')],
  ['places a chunk beyond the end of the volume', replacing(/^run 2 2 0 1 0$/m, 'run 3 2 0 1 0')],
  ['places a chunk twice', replacing(/^run 2 2 0 1 0$/m, 'run 1 2 0 1 0')],
  ['has its runs in the wrong order', replacing(/^(run 0 .*\n)(run 2 .*\n)/m, '$2$1')],
  ['names another backup', replacing(/^backup 0 .*$/m, `backup 0 ${'0'.repeat(32)}`)],
  ['names a backup that it does not list', replacing(/^run 2 2 0 1 0$/m, 'run 2 2 1 1 0')],
  ['has wrong totals', replacing(/^end 2 4 /m, 'end 2 5 ')],
  ['contains a shell command', replacing(/^run 2 2 0 1 0$/m, 'run $(touch${IFS}PWNED) 2 0 1 0')],
];

/** Changes to the second of those parts. */
export const LYING_PARTS: readonly Lie[] = [
  ['is not a part', replacing(/^coffer-1 part/, 'coffer-2 part')],
  ['belongs to another volume', replacing(/^volume vm5/m, 'volume vm6')],
  ['is another part of the volume', replacing(/^part 1 last$/m, 'part 2 last')],
  ['claims not to be the last one', replacing(/^part 1 last$/m, 'part 1 more')],
  ['claims more chunks than it has', replacing(/^run 2 2$/m, 'run 2 9')],
  ['contains a shell command', replacing(/^run 2 2$/m, 'run $(touch${IFS}PWNED) 2')],
];
