import { parseArgs } from 'node:util';
import { CAMPAIGNS, tryAll } from './campaigns.ts';
import type { Outcome } from './outcome.ts';

/**
 * `npm run faults -- [--campaign NAME] [--count N] [--minutes N] [--seed S] [--only TEXT]`: makes N trials of a
 * campaign, or of each campaign, or as many as there is time for, and prints the outcomes.
 */
const { values } = parseArgs({
  options: {
    campaign: { type: 'string', default: '' },
    count: { type: 'string', default: '200' },
    minutes: { type: 'string', default: 'Infinity' },
    seed: { type: 'string', default: `${Math.floor(Math.random() * 1e6)}` },
    only: { type: 'string', default: '' },
  },
});
const { count, seed, only } = values;
const tell = (text: string): void => void process.stdout.write(`${text}\n`);

for (const [name, campaign] of Object.entries(CAMPAIGNS)) {
  if (values.campaign !== '' && values.campaign !== name) continue;
  tell(`${name}, seed ${seed}`);
  const begun = Date.now();
  const all: Outcome[] = [];
  for await (const outcome of tryAll(campaign, Number(count), Number(seed), only)) {
    all.push(outcome);
    if (outcome.complaints.length > 0) tell(reportOf(outcome));
    if (Date.now() - begun > 60_000 * Number(values.minutes)) break;
  }
  tell(`${summary(all)}, ${Math.round((Date.now() - begun) / 1000)} s`);
  if (all.some(({ complaints }) => complaints.length > 0)) process.exitCode = 1;
}

function reportOf({ seed, what, ending, milliseconds, complaints, said }: Outcome): string {
  return [
    `seed ${seed}: ${what}: ended with ${ending} after ${Math.round(milliseconds)} ms`,
    ...complaints.map((complaint) => `  WRONG: ${complaint}`),
    ...said
      .trim()
      .split('\n')
      .slice(-4)
      .map((line) => `  said: ${line}`),
  ].join('\n');
}

/** For each kind of trial, how often it struck, how coffer ended, and how often a promise was broken. */
function summary(all: readonly Outcome[]): string {
  const groups = new Map<string, Outcome[]>();
  for (const outcome of all) {
    groups.set(outcome.what, [...(groups.get(outcome.what) ?? []), outcome]);
  }
  const rows = [...groups].sort().map(([what, trials]) => `${what.padEnd(52)} ${counts(trials)}`);
  return [...rows, `${'all'.padEnd(52)} ${counts(all)}`].join('\n');
}

function counts(trials: readonly Outcome[]): string {
  const struck = trials.filter((outcome) => outcome.struck);
  const endings = new Map<string, number>();
  for (const { ending } of struck) endings.set(`${ending}`, (endings.get(`${ending}`) ?? 0) + 1);
  const ended = [...endings].map(([ending, times]) => `${times} × ${ending}`).join(', ');
  const wrong = trials.filter(({ complaints }) => complaints.length > 0).length;
  const late = trials.length - struck.length;
  return `${struck.length} struck (${ended}), ${late} came too late, ${wrong} wrong`;
}
