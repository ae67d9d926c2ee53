import { renameSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CofferRun } from './coffer-run.ts';
import { Dice } from './dice.ts';
import type { Fault } from './faults.ts';
import type { Outcome } from './outcome.ts';
import { tryFault } from './trial.ts';
import { type Job, World, type WorldKind } from './world.ts';

/** Tries one of these faults: the seed decides which, in which world and when. */
export async function tryOne(
  worlds: Worlds,
  faults: readonly Fault[],
  seed: number,
): Promise<Outcome> {
  const dice = new Dice(seed);
  const fault = dice.pick(faults);
  const job = dice.pick(fault.jobs);
  const kind = dice.pick(fault.worlds);
  const { world, usual } = await worlds.get(kind);
  const verdict = await tryFault(fault, { world, job, dice }, usual[job]);
  // It was not disturbed, so this is how long such a run takes.
  if (!verdict.struck) usual[job] = Math.min(usual[job], verdict.milliseconds);
  // What one fault has broken must not be blamed on the next.
  if (verdict.complaints.length > 0) await worlds.discard(kind);
  return { ...verdict, seed, what: `${fault.name}, ${job}, ${kind} system` };
}

interface Ready {
  readonly world: World;
  /** How long each job takes when nothing goes wrong, in ms. */
  readonly usual: Record<Job, number>;
}

/** The worlds, made when they are needed, each with a backup to restore. */
export class Worlds implements AsyncDisposable {
  readonly #ready = new Map<WorldKind, Ready>();

  async get(kind: WorldKind): Promise<Ready> {
    const ready = this.#ready.get(kind) ?? (await prepare(kind));
    this.#ready.set(kind, ready);
    return ready;
  }

  async discard(kind: WorldKind): Promise<void> {
    await this.#ready.get(kind)?.world[Symbol.asyncDispose]();
    this.#ready.delete(kind);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const kind of [...this.#ready.keys()]) await this.discard(kind);
  }
}

async function prepare(kind: WorldKind): Promise<Ready> {
  const world = await World.make(kind);
  try {
    return { world, usual: await makeMaster(world) };
  } catch (error) {
    await world[Symbol.asyncDispose]();
    throw error;
  }
}

/** Makes the backup that is restored; returns the time that jobs take. */
async function makeMaster(world: World): Promise<Ready['usual']> {
  const backup = new CofferRun(world.command('backup'), world.directory, 0);
  if ((await backup.ended) !== 0) throw new Error(`no backup could be made: ${backup.said}`);
  const { milliseconds } = backup;
  const [file = ''] = readdirSync(world.backups);
  renameSync(join(world.backups, file), world.master);
  // A restore takes about as long, or less.
  return { backup: milliseconds, restore: milliseconds };
}
