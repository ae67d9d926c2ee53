import { Dice } from '../dice.ts';
import type { Outcome } from '../outcome.ts';
import { type KilledCommand, tryKill } from './kills.ts';
import { type Lie, tryLie } from './lies.ts';
import { tryLostState } from './lost-state.ts';
import { SeriesWorld } from './series-world.ts';

/** Trials on one series, which is made before the first one. */
export class SeriesTrials implements AsyncDisposable {
  readonly #seed: number;
  #world: Promise<SeriesWorld> | undefined;
  /** How long each command takes when nothing goes wrong, in ms. */
  readonly #usual = new Map<string, number>();

  readonly #isThorough: boolean;

  /**
   * @param seed the seed for making the series
   * @param isThorough whether, after each trial, an older backup is restored as well as the newest one
   */
  constructor(seed: number, isThorough: boolean) {
    this.#seed = seed;
    this.#isThorough = isThorough;
  }

  /** Kills one of these commands. */
  async kill(seed: number, commands: readonly KilledCommand[]): Promise<Outcome> {
    const dice = new Dice(seed);
    const command = dice.pick(commands);
    const world = await this.#ready();
    const usual = await this.#usualOf(world, command);
    return { seed, ...(await tryKill(world, command, dice, usual)) };
  }

  /** Makes the storage tell one of these lies. */
  async lie(seed: number, lies: readonly Lie[]): Promise<Outcome> {
    const dice = new Dice(seed);
    return { seed, ...(await tryLie(await this.#ready(), dice.pick(lies), dice)) };
  }

  async loseState(seed: number): Promise<Outcome> {
    const world = await this.#ready();
    const usual = await this.#usualOf(world, {
      words: ['backup', '-y', 'backups', 'work', 'vault'],
    });
    return { seed, ...(await tryLostState(world, new Dice(seed), usual)) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#world)?.[Symbol.asyncDispose]();
  }

  #ready(): Promise<SeriesWorld> {
    return (this.#world ??= SeriesWorld.make(new Dice(this.#seed), this.#isThorough));
  }

  async #usualOf(
    world: SeriesWorld,
    { words, prepare, environment }: Pick<KilledCommand, 'words' | 'prepare' | 'environment'>,
  ): Promise<number> {
    const name = [...words, ...Object.values(environment ?? {})].join(' ');
    const known = this.#usual.get(name);
    if (known !== undefined) return known;
    world.rewind();
    if (environment === undefined) world.change(new Dice(this.#seed));
    else world.rewrite();
    prepare?.(world);
    const begun = performance.now();
    await world.start(words, 0, environment).ended;
    world.noteBackups();
    const usual = performance.now() - begun;
    this.#usual.set(name, usual);
    return usual;
  }
}
