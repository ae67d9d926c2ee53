/** A summary of several runs, in seconds or bytes. */
export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Summarizes figures. Throws RangeError when there are none. */
export function summaryOf(figures: readonly number[]): Summary {
  const sorted = figures.toSorted((a, b) => a - b);
  const at = (index: number): number => {
    const figure = sorted[index];
    if (figure === undefined) throw new RangeError('nothing was measured');
    return figure;
  };
  const half = Math.floor(sorted.length / 2);
  const median = sorted.length % 2 === 1 ? at(half) : (at(half - 1) + at(half)) / 2;
  return { median, least: at(0), most: at(sorted.length - 1) };
}
