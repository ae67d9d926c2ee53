import { hugeIncrement } from './huge-increment.ts';
import { manyBackups, manyParts, manyQubes, scatteredVolume } from './loads.ts';
import { type Row, formatRows } from './row.ts';

/** `npm run load`: puts load on coffer, and prints the resources that it took: see docs/load.md. */
const TiB = 2 ** 40;
const MiB = 2 ** 20;
const rows: Row[] = [];

async function put(load: Promise<Row[]>): Promise<void> {
  const measured = await load;
  process.stdout.write(`${formatRows(measured)}\n`);
  rows.push(...measured);
}

for (const places of [4_000, 8_000, 16_000]) await put(scatteredVolume(TiB, places));
for (const amount of [75, 150, 300]) await put(manyQubes(amount));
for (const amount of [25_000, 50_000, 100_000]) await put(manyParts(amount));
for (const power of [20, 22, 23]) await put(hugeIncrement(2 ** power, 10_000).then((row) => [row]));
await put(manyBackups(20, 64 * MiB));
process.stdout.write(`\n${formatRows(rows)}\n`);
