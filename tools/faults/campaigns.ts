import { FAULTS } from './faults.ts';
import type { Outcome } from './outcome.ts';
import { KILLED_COMMANDS } from './series/kills.ts';
import { LIES } from './series/lies.ts';
import { SeriesTrials } from './series/series-trials.ts';
import { Worlds, tryOne } from './try-faults.ts';

/** Makes one trial, which depends on the seed only. */
type Trials = (seed: number) => Promise<Outcome>;

/** A kind of trials: what they need is made before the first one, and removed after the last one. */
type Campaign = (only: string, seed: number) => Trials & AsyncDisposable;

/** The campaigns by name. Each only makes trials whose names contain `only`. */
export const CAMPAIGNS: Readonly<Record<string, Campaign>> = {
  faults: (only) => {
    const faults = named(FAULTS, only);
    return withTrials(new Worlds(), (worlds, seed) => tryOne(worlds, faults, seed));
  },
  kills: (only, seed) => {
    const commands = named(KILLED_COMMANDS, only);
    return onSeries(seed, (trials, each) => trials.kill(each, commands));
  },
  storage: (only, seed) => {
    const lies = named(LIES, only);
    return onSeries(seed, (trials, each) => trials.lie(each, lies));
  },
  state: (_, seed) => onSeries(seed, (trials, each) => trials.loseState(each)),
};

function named<T extends { readonly name: string }>(all: readonly T[], only: string): T[] {
  return all.filter(({ name }) => name.includes(only));
}

/** Makes trials with ascending seeds, until `count` faults have struck. */
export async function* tryAll(
  campaign: Campaign,
  count: number,
  seed: number,
  only: string,
): AsyncGenerator<Outcome> {
  await using trials = campaign(only, seed);
  for (let struck = 0, next = seed; struck < count; next++) {
    const outcome = await trials(next);
    if (outcome.struck) struck++;
    yield outcome;
  }
}

function onSeries(
  seed: number,
  one: (trials: SeriesTrials, seed: number) => Promise<Outcome>,
): Trials & AsyncDisposable {
  return withTrials(new SeriesTrials(seed, true), one);
}

function withTrials<W extends AsyncDisposable>(
  worlds: W,
  one: (worlds: W, seed: number) => Promise<Outcome>,
): Trials & AsyncDisposable {
  const dispose = (): PromiseLike<void> => worlds[Symbol.asyncDispose]();
  return Object.assign((seed: number) => one(worlds, seed), { [Symbol.asyncDispose]: dispose });
}
