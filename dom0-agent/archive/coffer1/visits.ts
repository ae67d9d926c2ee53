import type { Run, Runs } from './runs.ts';

/** What is wanted of a part, one time that it is read. */
export interface Visit {
  readonly part: number;
  readonly runs: readonly Run[];
}

/** The parts that a volume's runs lie in, in the order of the volume: neighbours in the same part are one visit. */
export function* visitsOf(runs: Runs): Generator<Visit, void, undefined> {
  let visit: Run[] = [];
  for (const run of runs) {
    const part = visit[0]?.part;
    if (part !== undefined && part !== run.part) {
      yield { part, runs: visit };
      visit = [];
    }
    visit.push(run);
  }
  const part = visit[0]?.part;
  if (part !== undefined) yield { part, runs: visit };
}
