import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { JobResult, RowResult } from './compare.ts';
import type { StageResult } from './stages.ts';

const DOCUMENT = fileURLToPath(new URL('../../docs/performance.md', import.meta.url));
const BEGIN = '<!-- Made by npm run bench -- --write: -->';
const END = '<!-- end -->';

/** The rows as a table in Markdown: medians, with the minimum and maximum in brackets. */
export function formatRows(rows: readonly RowResult[]): string {
  return [
    '| what | measured: median (least–most) | result | at most | |',
    '| --- | --- | --- | --- | --- |',
    ...rows.map(({ name, jobs, verdict: { figure, limit, holds } }) => {
      const cells = [name, jobs.map(formatJob).join('; '), figure, limit, holds ? '✓' : '✗'];
      return `| ${cells.join(' | ')} |`;
    }),
  ].join('\n');
}

function formatJob({ name, seconds: { median, least, most } }: JobResult): string {
  const [middle, low, high] = [median, least, most].map((time) => time.toFixed(2));
  return `${name} ${middle ?? ''} s (${low ?? ''}–${high ?? ''})`;
}

/** The stages as a table in Markdown: the throughput of each one alone. */
export function formatStages(stages: readonly StageResult[]): string {
  return [
    '| stage, alone | MB/s |',
    '| --- | --- |',
    ...stages.map(({ name, speed }) => `| ${name} | ${(speed / 1e6).toFixed(0)} |`),
  ].join('\n');
}

/** Puts `tables` between the marks in docs/performance.md. */
export async function writeDocument(tables: string): Promise<void> {
  const document = await readFile(DOCUMENT, 'utf8');
  const [before, rest] = document.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`${DOCUMENT} has no marks`);
  await writeFile(DOCUMENT, `${before}${BEGIN}\n\n${tables}\n\n${END}${after}`);
}
