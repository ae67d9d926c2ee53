import { readFileSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Dice } from '../dice.ts';
import type { Outcome } from '../outcome.ts';
import type { SeriesWorld } from './series-world.ts';

/** Something that a dishonest storage does to stored files. */
export interface Lie {
  readonly name: string;
  readonly tell: (world: SeriesWorld, dice: Dice) => void;
  /** Whether the files are all there unchanged, so that there is nothing to notice. */
  readonly isHarmless?: true;
  /**
   * Whether the directory looks like an older state, so that only dom0's records can show that something is missing.
   */
  readonly isOld?: true;
  /** Which backup is complete again: the next one if sizes show the loss, otherwise only one with `--full`. */
  readonly healedBy: 'backup' | 'backup --full';
}

export const LIES: readonly Lie[] = [
  {
    name: 'loses a file',
    healedBy: 'backup',
    tell: (world, dice) => rmSync(join(world.backups, dice.pick(world.files))),
  },
  {
    name: 'truncates a file',
    healedBy: 'backup',
    tell: (world, dice) => {
      const file = join(world.backups, dice.pick(world.files));
      truncateSync(file, Math.floor(dice.next() * statSync(file).size));
    },
  },
  {
    name: 'swaps the names of two files',
    isHarmless: true,
    healedBy: 'backup',
    tell: (world, dice) => {
      const [one, other] = twoOf(world, dice).map((name) => join(world.backups, name));
      if (one === undefined || other === undefined) throw new RangeError('there are not two');
      renameSync(one, `${one}.aside`);
      renameSync(other, one);
      renameSync(`${one}.aside`, other);
    },
  },
  {
    name: 'flips a bit',
    healedBy: 'backup --full',
    tell: (world, dice) => {
      const file = join(world.backups, dice.pick(world.files));
      const bytes = readFileSync(file);
      const at = Math.floor(dice.next() * bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(dice.next() * 8));
      writeFileSync(file, bytes);
    },
  },
  {
    name: 'overwrites bytes of one file with bytes of another',
    healedBy: 'backup --full',
    tell: (world, dice) => {
      const [to, from] = twoOf(world, dice).map((name) => join(world.backups, name));
      if (to === undefined || from === undefined) throw new RangeError('there are not two');
      const [bytes, others] = [readFileSync(to), readFileSync(from)];
      const most = Math.min(bytes.length, others.length);
      const at = Math.floor(dice.next() * (most - 1));
      others.copy(bytes, at, at, at + 1 + Math.floor(dice.next() * (most - at - 1)));
      writeFileSync(to, bytes);
    },
  },
  {
    name: 'replaces a file with an older one',
    healedBy: 'backup --full',
    tell: (world, dice) => {
      const [newer, older] = twoOf(world, dice).sort().reverse();
      writeFileSync(
        join(world.backups, newer ?? ''),
        readFileSync(join(world.backups, older ?? '')),
      );
    },
  },
  {
    name: 'is rolled back to an earlier state',
    isOld: true,
    healedBy: 'backup',
    tell: (world, dice) =>
      world.rollBackStorage(world.stageBefore(1 + Math.floor(dice.next() * 3))),
  },
];

/** Two different files of the series. */
function twoOf(world: SeriesWorld, dice: Dice): string[] {
  const one = dice.pick(world.files);
  return [one, dice.pick(world.files.filter((name) => name !== one))];
}

/**
 * Makes the storage lie. No restore may return anything except what was backed up, the lie must be noticed, and the
 * next backup must be complete.
 */
export async function tryLie(
  world: SeriesWorld,
  lie: Lie,
  dice: Dice,
): Promise<Omit<Outcome, 'seed'>> {
  const begun = performance.now();
  world.rewind();
  lie.tell(world, dice);
  const complaints: string[] = [];
  let refused = 0;
  for (const name of world.examined(world.backupFiles)) {
    const restored = await world.refusedOrRight(name);
    complaints.push(...restored.complaints);
    if (restored.refused) refused++;
  }
  const verified = await world.run('verify', '--all', 'backups');
  complaints.push(...noticed(lie, refused, verified.ending));
  if (lie.isOld === true) {
    const { said } = await world.run('verify', 'backups');
    if (!said.includes('dom0 knows of')) complaints.push('that newer ones are missing is not told');
  }
  complaints.push(...(await problemsOfNextBackups(world, lie, dice)));
  return {
    ...{ what: `the storage ${lie.name}`, ending: verified.ending, struck: true },
    ...{ milliseconds: performance.now() - begun, complaints, said: verified.said },
  };
}

/** Complaints if `verify --all` did not notice the lie, or if a harmless one was taken for damage. */
function noticed(lie: Lie, refused: number, verified: Outcome['ending']): string[] {
  if (lie.isHarmless !== true) return verified === 0 ? ['verify found nothing wrong'] : [];
  const complaints = refused > 0 ? [`${refused} backups could not be restored`] : [];
  return verified === 0 ? complaints : [...complaints, `verify ended with ${verified}`];
}

/** What is wrong with the next backup, and with the one after it, which must continue from it. */
async function problemsOfNextBackups(
  world: SeriesWorld,
  { healedBy }: Lie,
  dice: Dice,
): Promise<string[]> {
  const complaints: string[] = [];
  const next = healedBy === 'backup' ? [] : ['--full'];
  for (const words of world.isThorough ? [next, []] : [next]) {
    world.change(dice);
    const { ending, said } = await world.backUp(...words);
    if (ending !== 0) complaints.push(`the next backup ended with ${ending}: ${said}`);
    else complaints.push(...(await world.complaintsAbout(world.held.at(-1) ?? '')));
  }
  return complaints.map((complaint) => `afterwards: ${complaint}`);
}
