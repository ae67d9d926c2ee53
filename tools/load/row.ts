/** One measurement: what was done, how much of it, and the resources that it took. */
export interface Row {
  readonly load: string;
  readonly amount: number;
  readonly seconds: number;
  /** Processor time, if the work was done in this process. It depends little on what else runs on the machine. */
  readonly processorSeconds?: number;
  /** The peak of resident memory, in MiB. */
  readonly memory: number;
  /** The highest number of open descriptors. */
  readonly descriptors: number;
}

/** The rows as a table in Markdown. */
export function formatRows(rows: readonly Row[]): string {
  const lines = rows.map(
    ({ load, amount, seconds, memory, descriptors }) =>
      `| ${load} | ${amount.toLocaleString('en')} | ${seconds.toFixed(1)} | ` +
      `${Math.round(memory)} | ${descriptors} |`,
  );
  const head = [
    '| load | amount | seconds | memory, MiB | descriptors |',
    '| --- | ---: | ---: | ---: | ---: |',
  ];
  return [...head, ...lines].join('\n');
}
