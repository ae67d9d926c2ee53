// npm run fuzz -- [--minutes N] [--target NAME] [--seed N]
// Attacks each parser in turn, and reports the number of executions and the coverage. The default seed is the time; it
// is printed. The exit status is 1 if a promise was broken; the input is then kept.
import { parseArgs } from 'node:util';
import { attack } from './campaign.ts';
import { CoverageMeter } from './coverage.ts';
import { keepRegression } from './regressions.ts';
import { TARGETS } from './targets.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '5' },
    target: { type: 'string' },
    seed: { type: 'string' },
  },
});
const targets = TARGETS.filter(({ name }) => values.target === undefined || values.target === name);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const milliseconds = (Number(values.minutes) * 60_000) / Math.max(targets.length, 1);

console.log(`seed ${seed}, ${targets.length} targets, ${(milliseconds / 1000).toFixed(0)} s each`);
const meter = new CoverageMeter();
const lines: [name: string, sources: readonly string[], line: string][] = [];
for (const target of targets) {
  const { executions, accepted, failure } = await attack(target, { milliseconds }, seed);
  lines.push([target.name, target.sources, `${executions} executions, ${accepted} accepted`]);
  if (failure === undefined) continue;
  console.log(`${target.name}: ${keepRegression(target.name, failure.input)}\n${failure.message}`);
  process.exitCode = 1;
}
const coverageOf = await meter.finish();
for (const [name, sources, line] of lines) {
  const { code, missed } = coverageOf(sources);
  const rest = missed.length === 0 ? '' : `; never called: ${missed.join(', ')}`;
  console.log(`${name}: ${line}, ${(code * 100).toFixed(1)} % of the code reached${rest}`);
}
console.log(`peak memory ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`);
