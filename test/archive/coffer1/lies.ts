type Lie = readonly [what: string, lie: (text: string) => string];

const replacing =
  (from: RegExp, to: string) =>
  (text: string): string => {
    if (!from.test(text)) throw new Error(`there is nothing like ${from.source}`);
    return text.replace(from, to);
  };

/** Of the map of a volume of 200,000 bytes in two parts of two chunks each. */
export const LYING_MAPS: readonly Lie[] = [
  ['is none', () => 'something else\n'],
  ['ends early', replacing(/^end .*\n/m, '')],
  ['goes on after its end', (text) => `${text}run 0 1 0 0 0\n`],
  ['is that of another volume', replacing(/^volume .*$/m, 'volume vm6/private.img')],
  ['has another grain', replacing(/^grain .*$/m, 'grain 131072')],
  ['is of a size beyond all bounds', replacing(/^size .*$/m, 'size 999999999999999')],
  ['tells no volume that it is of', replacing(/^origin .*\n/m, '')],
  ['is of no size', replacing(/^size .*$/m, 'size x')],
  ['names a part that is not there', replacing(/^run 2 2 0 1 0$/m, 'run 2 2 0 7 0')],
  ['names chunks that a part has not', replacing(/^run 2 2 0 1 0$/m, 'run 2 2 0 1 1')],
  ['names a chunk behind the end of the volume', replacing(/^run 2 2 0 1 0$/m, 'run 3 2 0 1 0')],
  ['names a chunk twice', replacing(/^run 2 2 0 1 0$/m, 'run 1 2 0 1 0')],
  ['names chunks in the wrong order', replacing(/^(run 0 .*\n)(run 2 .*\n)/m, '$2$1')],
  ['names another backup', replacing(/^backup 0 .*$/m, `backup 0 ${'0'.repeat(32)}`)],
  ['names a backup that it does not list', replacing(/^run 2 2 0 1 0$/m, 'run 2 2 1 1 0')],
  ['counts wrongly', replacing(/^end 2 4 /m, 'end 2 5 ')],
  ['is a command', replacing(/^run 2 2 0 1 0$/m, 'run $(touch${IFS}PWNED) 2 0 1 0')],
];

/** Of the second of those parts. */
export const LYING_PARTS: readonly Lie[] = [
  ['is none', replacing(/^coffer-1 part/, 'coffer-2 part')],
  ['is of another volume', replacing(/^volume vm5/m, 'volume vm6')],
  ['is another part of the volume', replacing(/^part 1 last$/m, 'part 2 last')],
  ['is not the last one', replacing(/^part 1 last$/m, 'part 1 more')],
  ['has more chunks than there are', replacing(/^run 2 2$/m, 'run 2 9')],
  ['is a command', replacing(/^run 2 2$/m, 'run $(touch${IFS}PWNED) 2')],
];
