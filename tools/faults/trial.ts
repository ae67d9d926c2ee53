import { rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CofferRun, runUndisturbed } from './coffer-run.ts';
import type { Fault, Trial } from './faults.ts';
import type { Outcome } from './outcome.ts';
import { processesIn } from './processes.ts';
import { type Whole, wholeResults } from './whole.ts';
import type { Job, World } from './world.ts';

/** How long the cleanup may take after coffer was killed, in ms. */
const GRACE = 10_000;

/** The outcome of one trial of a fault. */
export type Verdict = Omit<Outcome, 'seed' | 'what'>;

/**
 * Tries one fault. Afterwards, everything that was there must be unchanged, nothing incomplete may be left, and the
 * same job must work.
 */
export async function tryFault(fault: Fault, trial: Trial, usual: number): Promise<Verdict> {
  const { world, job } = trial;
  const before = await world.things();
  const { argv, env } = world.command(job);
  const words = fault.prepare?.(trial) ?? [];
  const run = new CofferRun({ argv: [...words, ...argv], env }, world.directory, usual);
  const struck = (await fault.strike?.(trial, run)) ?? true;
  const ending = await run.ended;
  const { milliseconds } = run;
  await fault.repair?.(trial);

  const now = await comesToRest(world, before);
  const complaints = [...now.complaints];
  if (run.hangs) complaints.push('it did not end');
  if (ending === 0 || fault.isDoneNevertheless) complaints.push(...lacking(job, now.results));
  if (ending !== 0 && !fault.endings(job).includes(ending))
    complaints.push(`it ended with ${ending}`);
  await tidy(world, now.results);
  complaints.push(...(await again(world, job, before)));
  return { ending, struck, milliseconds, complaints, said: run.said };
}

interface Examination {
  readonly results: readonly Whole[];
  readonly complaints: readonly string[];
}

/** Compares what there is now with what was there before. */
async function examine(world: World, before: ReadonlyMap<string, string>): Promise<Examination> {
  const now = await world.things();
  const changed = [...before]
    .filter(([thing, text]) => now.get(thing) !== text)
    .map(([thing]) => `${thing} was ${now.has(thing) ? 'changed' : 'removed'}`);
  const added = [...now.keys()].filter((thing) => !before.has(thing));
  const results = await wholeResults(world, now, added);
  const accounted = new Set(results.flatMap(({ things }) => things));
  const left = added.filter((thing) => !accounted.has(thing)).map((thing) => `${thing} is left`);
  return { results, complaints: [...changed, ...left] };
}

/**
 * Waits until no process is left, and nothing that a process might still remove. Returns what there is then; if there
 * are no complaints, this was found out after the last process had ended.
 */
async function comesToRest(
  world: World,
  before: ReadonlyMap<string, string>,
): Promise<Examination> {
  const deadline = performance.now() + GRACE;
  for (;;) {
    const processes = processesIn(world.directory);
    const isOver = performance.now() > deadline;
    if (processes.length === 0 || isOver) {
      const now = await examine(world, before);
      const left = processes.map(({ commandLine }) => `the process ${commandLine} is left`);
      if (isOver || now.complaints.length === 0) {
        return { ...now, complaints: [...left, ...now.complaints] };
      }
    }
    await sleep(50);
  }
}

const RESULTS = { backup: ['backup'], restore: ['work', 'vault', 'home'] } as const;

/** Complaints about results of a job that are missing. */
function lacking(job: Job, results: readonly Whole[]): string[] {
  const found = new Set(results.map(({ what }) => what));
  const missing = RESULTS[job].filter((what) => !found.has(what));
  return missing.map((what) => `it ended, but without a whole ${what}`);
}

/** Removes the results of a job. */
async function tidy(world: World, results: readonly Whole[]): Promise<void> {
  for (const { what, things } of results) {
    const [first = ''] = things;
    const file = join(world.directory, first);
    if (what === 'backup') rmSync(file);
    else if (what === 'home') rmSync(topOf(file, world.home), { recursive: true });
    else await world.remove(`${what}-1`);
  }
}

function topOf(file: string, directory: string): string {
  return dirname(file) === directory ? file : topOf(dirname(file), directory);
}

/** Complaints if the same job does not work after the fault. */
async function again(
  world: World,
  job: Job,
  before: ReadonlyMap<string, string>,
): Promise<string[]> {
  const { ending, said } = await runUndisturbed(world.command(job), world.directory);
  const complaints = ending === 0 ? [] : [`doing it again ended with ${ending}: ${said}`];
  const now = await comesToRest(world, before);
  complaints.push(...[...now.complaints, ...lacking(job, now.results)].map(afterwards));
  await tidy(world, now.results);
  return complaints;
}

const afterwards = (complaint: string): string => `after doing it again: ${complaint}`;
