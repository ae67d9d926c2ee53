import type { Dice } from '../dice.ts';
import type { Outcome } from '../outcome.ts';
import { processesIn } from '../processes.ts';
import type { SeriesWorld } from './series-world.ts';

/** How many backups are made after the loss. */
const BACKUPS = 2;

/** What happens to dom0's state. */
const LOSSES: readonly (readonly [name: string, lose: (world: SeriesWorld, dice: Dice) => void])[] =
  [
    ['is deleted', (world) => world.loseState()],
    [
      'is replaced by an older one',
      (world, dice) => world.rollBackState(world.stageBefore(1 + Math.floor(dice.next() * 3))),
    ],
  ];

/**
 * Loses dom0's state, and kills a backup at a random point. No backup may be lost by that, the following ones must be
 * complete, and no key may be used twice in everything that was ever sent in these trials.
 */
export async function tryLostState(
  world: SeriesWorld,
  dice: Dice,
  usual: number,
): Promise<Omit<Outcome, 'seed'>> {
  world.rewind();
  const [loss, lose] = dice.pick(LOSSES);
  const before = world.held;
  lose(world, dice);
  world.change(dice);
  const run = world.start(['backup', '-y', '--kdf-cost', '14', 'backups', 'work', 'vault'], usual);
  const struck = await run.until(dice);
  world.catchPartial();
  for (const { pid, role } of processesIn(world.world.directory)) {
    if (role === 'dom0 agent' && !run.isOver) process.kill(pid, 'SIGKILL');
  }
  const ending = await run.ended;
  const complaints = await world.atRest();
  world.noteCaught();
  world.noteBackups();
  for (let backup = 0; backup < BACKUPS; backup++) {
    world.change(dice);
    const { ending: ended, said } = await world.backUp();
    if (ended !== 0) complaints.push(`the next backup ended with ${ended}: ${said}`);
  }
  complaints.push(...before.filter((name) => !world.held.includes(name)).map(isGone));
  for (const name of world.examined(world.held))
    complaints.push(...(await world.complaintsAbout(name)));
  world.sealed.addAll(world.backups);
  complaints.push(...world.sealed.complaints);
  if (world.series > 1) complaints.push('a new series was begun: what is there was sent again');
  return {
    ...{ what: `dom0's state ${loss}`, ending, struck },
    ...{ milliseconds: run.milliseconds, complaints, said: run.said },
  };
}

const isGone = (name: string): string => `${name} is gone`;
