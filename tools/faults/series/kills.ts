import type { Dice } from '../dice.ts';
import type { Outcome } from '../outcome.ts';
import { type Process, processesIn } from '../processes.ts';
import type { CofferRun } from '../coffer-run.ts';
import type { SeriesWorld } from './series-world.ts';

/** A command that is killed at a random point. */
export interface KilledCommand {
  readonly name: string;
  readonly words: readonly string[];
  /** How many of the newest backups it keeps. */
  readonly keeps: number;
  /** Whether volumes have changed since the last backup: partly, or all of both. */
  readonly afterChange?: 'some' | 'all';
  /** Environment variables of the run that is killed. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Called before the command. */
  readonly prepare?: (world: SeriesWorld) => void;
}

export const KILLED_COMMANDS: readonly KilledCommand[] = [
  {
    name: 'backup',
    words: ['backup', '-y', 'backups', 'work', 'vault'],
    keeps: Infinity,
    afterChange: 'some',
  },
  {
    name: 'backup that stores data ahead',
    words: ['backup', '-y', 'backups', 'work', 'vault'],
    keeps: Infinity,
    afterChange: 'all',
    environment: { COFFER_DATA_FILE: '1' },
  },
  { name: 'prune', words: ['prune', '-y', '--keep-last', '2', 'backups'], keeps: 2 },
  {
    name: 'prune --list',
    words: ['prune', '-y', '--keep-last', '2', '--list', 'backups'],
    keeps: Infinity,
  },
  {
    name: 'adopt',
    words: ['adopt', 'backups'],
    keeps: Infinity,
    prepare: (world) => world.loseState(),
  },
  {
    name: 'passphrase',
    // The same passphrase with a new salt, so that it still opens everything afterwards.
    words: ['passphrase', '--new-passphrase-file', 'passphrase', 'backups'],
    keeps: Infinity,
  },
];

/** Bytes for what is in a file besides data: settings, maps, tables. */
const SLACK = 2 ** 20;

type Victims = (processes: readonly Process[]) => readonly Process[];

const VICTIMS: readonly (readonly [name: string, victims: Victims])[] = [
  ['dom0 agent', (all) => all.filter(({ role }) => role === 'dom0 agent').slice(0, 1)],
  ['VM agent', (all) => all.filter(({ role }) => role === 'VM agent').slice(0, 1)],
  ['everything', (all) => all],
];

/**
 * Kills a command at a random point. Afterwards, every backup that it keeps must be there and be restored exactly, no
 * incomplete file may have a final name, and the same command and the next backup must work.
 */
export async function tryKill(
  world: SeriesWorld,
  command: KilledCommand,
  dice: Dice,
  usual: number,
): Promise<Omit<Outcome, 'seed'>> {
  world.rewind();
  const [victim, victims] = dice.pick(VICTIMS);
  if (command.afterChange === 'some') world.change(dice);
  if (command.afterChange === 'all') world.rewrite();
  command.prepare?.(world);
  const before = world.held;
  const run = world.start(command.words, usual, command.environment);
  const struck = (await run.until(dice)) && strike(world, run, victims);
  const ending = await run.ended;
  const complaints = await world.atRest();
  world.noteCaught();
  world.noteBackups();
  complaints.push(...(await problemsIn(world, kept(before, command))));

  const left = world.files;
  const again = await world.run(...command.words);
  if (again.ending !== 0)
    complaints.push(`doing it again ended with ${again.ending}: ${again.said}`);
  if (command.environment !== undefined) complaints.push(...sentTwice(world, left));
  complaints.push(...(await nextBackup(world, dice)));
  complaints.push(...(await problemsIn(world, kept(before, command))).map(afterwards));
  world.sealed.addAll(world.backups);
  complaints.push(...world.sealed.complaints);
  return {
    ...{ what: `${command.name}, ${victim} killed`, ending, struck },
    ...{ milliseconds: run.milliseconds, complaints, said: run.said },
  };
}

/** Kills the victims; returns false if there was nothing left to kill. */
function strike(world: SeriesWorld, run: CofferRun, victims: Victims): boolean {
  world.catchPartial();
  let killed = false;
  for (const { pid } of victims(processesIn(world.world.directory))) {
    try {
      process.kill(pid, 'SIGKILL');
      killed = true;
    } catch {
      // It has ended by itself.
    }
  }
  return killed && !run.isOver;
}

function kept(before: readonly string[], { keeps }: KilledCommand): readonly string[] {
  return keeps === Infinity ? before : before.slice(-keeps);
}

/** What is wrong with a directory in which these backups, and everything else with a final name, must be complete. */
async function problemsIn(world: SeriesWorld, keeping: readonly string[]): Promise<string[]> {
  const complaints: string[] = [];
  const there = world.held;
  const gone = keeping.filter((name) => !there.includes(name));
  complaints.push(...gone.map((name) => `${name} is gone`));
  for (const name of world.examined(there)) complaints.push(...(await world.complaintsAbout(name)));
  const { ending, said } = await world.run('verify', '--all', 'backups');
  if (ending !== 0) complaints.push(`not all is whole, verify ended with ${ending}: ${said}`);
  return complaints;
}

/** What is wrong with the next backup. */
async function nextBackup(world: SeriesWorld, dice: Dice): Promise<string[]> {
  world.change(dice);
  const { ending, said } = await world.backUp();
  return ending === 0 ? [] : [`the next backup ended with ${ending}: ${said}`];
}

/** A complaint if data that the killed backup had stored was sent again. */
function sentTwice(world: SeriesWorld, left: readonly string[]): string[] {
  const kept = world.bytesOf(left.filter((name) => name.startsWith('qubes-data-')));
  const sent = world.bytesOf(world.files.filter((name) => !left.includes(name)));
  if (kept === 0 || kept + sent <= world.dataBytes + SLACK) return [];
  return [`${kept} bytes were kept, and ${sent} sent again`];
}

const afterwards = (complaint: string): string => `afterwards: ${complaint}`;
