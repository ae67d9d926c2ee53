/** One measurement: what was done, how much of it, and what it took. */
export interface Row {
  readonly load: string;
  readonly amount: number;
  readonly seconds: number;
  /** Processor time, where the work was done in this process: what else runs on the machine changes it little. */
  readonly processorSeconds?: number;
  /** Peak of resident memory in MiB. */
  readonly memory: number;
  /** The most descriptors that were open. */
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
