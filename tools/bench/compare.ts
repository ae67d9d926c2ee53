import { spawnSync } from 'node:child_process';
import { type Measured, measure } from './measure.ts';
import type { Job, Row, Yardstick } from './row.ts';
import { type Summary, summaryOf } from './statistics.ts';

export interface JobResult {
  readonly name: string;
  readonly seconds: Summary;
  /** The highest peaks of all runs, in bytes. */
  readonly memory: Measured['memory'];
}

export interface Verdict {
  readonly figure: string;
  readonly limit: string;
  readonly holds: boolean;
}

export interface RowResult {
  readonly name: string;
  readonly jobs: readonly JobResult[];
  readonly verdict: Verdict;
}

const NOTHING_TO_COMPARE: Verdict = {
  figure: 'nothing to compare with is installed',
  limit: '',
  holds: true,
};

/** Runs the jobs of a row in turn, `runs` times each, and compares the results with the yardstick. */
export async function compare({ name, jobs, yardstick }: Row, runs: number): Promise<RowResult> {
  const runsOf = new Map<Job, Measured[]>(jobs.map((job) => [job, []]));
  for (let i = 0; i < runs; i++) {
    for (const [job, measured] of runsOf) {
      measured.push(await runJob(job, yardstick.kind === 'memory'));
    }
  }
  const results = [...runsOf].map(([job, measured]) => resultOf(job, measured));
  return { name, jobs: results, verdict: await judge(results, yardstick) };
}

async function runJob(job: Job, watchesMemory: boolean): Promise<Measured> {
  await job.before?.();
  // Otherwise, this job might wait for data that another job has left in the page cache.
  spawnSync('sync');
  const measured = await measure(job.command, watchesMemory);
  await job.after?.();
  return measured;
}

function resultOf({ name }: Job, measured: readonly Measured[]): JobResult {
  const peak = (part: keyof Measured['memory']): number =>
    Math.max(...measured.map(({ memory }) => memory[part]));
  return {
    name,
    seconds: summaryOf(measured.map(({ seconds }) => seconds)),
    memory: { program: peak('program'), agent: peak('agent') },
  };
}

async function judge(
  [first, second]: readonly JobResult[],
  yardstick: Yardstick,
): Promise<Verdict> {
  const median = first?.seconds.median ?? NaN;
  const reference = second?.seconds.median ?? NaN;
  if (second === undefined && (yardstick.kind === 'ratio' || yardstick.kind === 'beyond')) {
    return NOTHING_TO_COMPARE;
  }
  switch (yardstick.kind) {
    case 'ratio':
      return verdict(median / reference, yardstick.atMost, (ratio) => ratio.toFixed(2));
    case 'beyond':
      return verdict(median - reference, yardstick.atMost, (more) => `+${more.toFixed(2)} s`);
    case 'time':
      return verdict(median * 1000, yardstick.atMost * 1000, (time) => `${time.toFixed(0)} ms`);
    case 'stored': {
      const share = await yardstick.share();
      if (!Number.isFinite(share)) return NOTHING_TO_COMPARE;
      return verdict(share, yardstick.atMost, (each) => `${each.toFixed(2)} of the bytes`);
    }
    case 'memory': {
      const { program, agent } = first?.memory ?? { program: NaN, agent: NaN };
      return {
        figure: `${megabytes(program)}, agent ${megabytes(agent)}`,
        limit: `${megabytes(yardstick.coffer)}, agent ${megabytes(yardstick.agent)}`,
        holds: program <= yardstick.coffer && agent <= yardstick.agent,
      };
    }
  }
}

function verdict(figure: number, atMost: number, format: (figure: number) => string): Verdict {
  return { figure: format(figure), limit: format(atMost), holds: figure <= atMost };
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
