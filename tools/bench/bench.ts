/**
 * `npm run bench`: measures coffer against its references. `-- --help` shows the options.
 */
import { availableParallelism, cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { messageOf } from '../../shared/errors.ts';
import { type RowResult, compare } from './compare.ts';
import { formatRows, formatStages, writeDocument } from './report.ts';
import { ROWS } from './rows.ts';
import { measureStages } from './stages.ts';
import { World } from './world.ts';

const USAGE = `Usage: npm run bench -- [OPTION...]

  --runs N          run every job of a row N times (5)
  --only REGEXP     only the rows whose names match; "stages" is one of them
  --directory DIR   make the data in DIR, which needs 40 GiB (the directory for temporary files)
  --write           put the tables into docs/performance.md
  --list            print the names of the rows
`;

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    directory: { type: 'string' },
    write: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
// Whoever has it set lets every Node.js that starts parse these certificates, which takes longer than the rest of its
// start. None speaks to a network.
delete process.env['NODE_EXTRA_CA_CERTS'];

const runs = Number(values.runs);
if (values.help || !Number.isInteger(runs) || runs < 1) {
  process.stdout.write(USAGE);
  process.exitCode = values.help ? 0 : 2;
} else if (values.list) {
  process.stdout.write([...ROWS.keys(), 'stages', ''].join('\n'));
} else {
  await bench(new RegExp(values.only));
}

async function bench(only: RegExp): Promise<void> {
  await using world = await World.make(values.directory);
  const begun = Date.now();
  const results: RowResult[] = [];
  for (const [name, make] of ROWS) {
    if (!only.test(name)) continue;
    try {
      const result = await compare({ name, ...(await make(world)) }, runs);
      results.push(result);
      console.log(formatRows([result]).split('\n').at(-1));
    } catch (error) {
      // The other rows can still be measured.
      console.error(`${name}: ${messageOf(error)}`);
      process.exitCode = 1;
    }
  }
  const stages = only.test('stages') ? await measureStages(world) : [];
  const minutes = ((Date.now() - begun) / 60_000).toFixed(0);
  const tables = [
    `${describeMachine()} ${runs} runs each, in turn; ${minutes} minutes.`,
    formatRows(results),
    formatStages(stages),
  ].join('\n\n');
  console.log(`\n${tables}`);
  if (values.write) await writeDocument(tables);
  if (results.some(({ verdict }) => !verdict.holds)) process.exitCode = 1;
}

function describeMachine(): string {
  const model = cpus()[0]?.model ?? 'unknown processor';
  const day = new Date().toISOString().slice(0, 10);
  return `${day}, ${availableParallelism()} × ${model}, Linux ${release()}, Node ${process.version}.`;
}
