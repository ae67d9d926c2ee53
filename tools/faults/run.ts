import { parseArgs } from 'node:util';
import { FAULTS } from './faults.ts';
import { type Tried, tryFaults } from './series.ts';

/** `npm run faults -- [--count N] [--seed S] [--only TEXT]`: tries faults, and says what came of it. */
const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '200' },
    seed: { type: 'string', default: `${Math.floor(Math.random() * 1e6)}` },
    only: { type: 'string', default: '' },
  },
});
const { count, seed, only } = values;
const tell = (text: string): void => void process.stdout.write(`${text}\n`);
tell(`seed ${seed}`);

const all: Tried[] = [];
const faults = FAULTS.filter(({ name }) => name.includes(only));
for await (const tried of tryFaults(Number(count), Number(seed), faults)) {
  all.push(tried);
  if (tried.complaints.length > 0) tell(reportOf(tried));
}
tell(summary(all));
process.exitCode = all.some(({ complaints }) => complaints.length > 0) ? 1 : 0;

function reportOf(tried: Tried): string {
  const { seed, fault, job, kind, ending, milliseconds, complaints, said } = tried;
  const what = `${fault.name} during a ${job}, ${kind} system`;
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

/** By fault and job: how often it struck, how coffer ended, and how often something was wrong. */
function summary(all: readonly Tried[]): string {
  const groups = new Map<string, Tried[]>();
  for (const tried of all) {
    const group = `${tried.fault.name}, ${tried.job}`;
    groups.set(group, [...(groups.get(group) ?? []), tried]);
  }
  const rows = [...groups].sort().map(([group, trials]) => `${group.padEnd(44)} ${counts(trials)}`);
  return [...rows, `${'all'.padEnd(44)} ${counts(all)}`].join('\n');
}

function counts(trials: readonly Tried[]): string {
  const struck = trials.filter((tried) => tried.struck);
  const endings = new Map<string, number>();
  for (const { ending } of struck) endings.set(`${ending}`, (endings.get(`${ending}`) ?? 0) + 1);
  const ended = [...endings].map(([ending, times]) => `${times} × ${ending}`).join(', ');
  const wrong = trials.filter(({ complaints }) => complaints.length > 0).length;
  const late = trials.length - struck.length;
  return `${struck.length} struck (${ended}), ${late} came too late, ${wrong} wrong`;
}
