import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CofferRun, runUndisturbed } from '../coffer-run.ts';
import type { Dice } from '../dice.ts';
import { processesIn } from '../processes.ts';
import { type CommandLine, World } from '../world.ts';
import { SealedMembers } from './sealed-members.ts';

const MiB = 2 ** 20;
const QUBES = ['work', 'vault'] as const;
/** Where the volumes have data, in bytes. */
const DATA = { from: MiB, to: 14 * MiB };
const LONGEST_CHANGE = MiB;
/** How many backups there are when a trial begins; two earlier ones were pruned. */
const BACKUPS = 4;
/** The directories that a trial changes, relative to that of the world. */
const STORED = 'system/homes/usb/backups';
const KNOWN = 'system/dom0-state';
const IMAGES = 'system/appvms';
/** How long the cleanup may take after coffer was killed, in ms. */
const GRACE = 60_000;

/** The result of a run. */
export interface Ran {
  readonly ending: number | NodeJS.Signals;
  readonly said: string;
}

/** A copy of what was stored, and of what dom0 knew about it, at some time, and what the backups held then. */
export interface Stage {
  readonly path: string;
  readonly held: ReadonlyMap<string, Held>;
}

/** Digests of the volumes that a restore of a backup must produce, by VM. */
type Held = ReadonlyMap<string, string>;

/** A world with a series of backups, parts of which are in a pack. It can be reset after each trial. */
export class SeriesWorld implements AsyncDisposable {
  readonly world: World;
  /** A stage after each backup, oldest first; trials begin with the last one. */
  readonly stages: Stage[] = [];
  /** The members sealed in all trials. */
  readonly sealed = new SealedMembers();
  /** What each backup holds, by its id, in the order in which they were made. */
  #held = new Map<string, Held>();
  /** The names of files that were seen. */
  #noted = new Set<string>();
  #caught = 0;
  /** Whether, after each trial, an older backup is examined as well as the newest one. */
  readonly isThorough: boolean;
  readonly #dice: Dice;

  private constructor(world: World, dice: Dice, isThorough: boolean) {
    this.world = world;
    this.#dice = dice;
    this.isThorough = isThorough;
  }

  static async make(dice: Dice, isThorough: boolean): Promise<SeriesWorld> {
    const made = new SeriesWorld(await World.make('folder'), dice, isThorough);
    try {
      await made.#fill(dice);
      return made;
    } catch (error) {
      await made[Symbol.asyncDispose]();
      throw error;
    }
  }

  get backups(): string {
    return this.world.backups;
  }

  /** The names of the stored files, without partial ones. */
  get files(): string[] {
    return readdirSync(this.backups)
      .filter((name) => !name.endsWith('.partial'))
      .sort();
  }

  /** Those of them that are named like backups. */
  get backupFiles(): string[] {
    return this.files.filter((name) => name.startsWith('qubes-backup-'));
  }

  /** How many series the backups belong to, according to their headers. */
  get series(): number {
    return new Set(this.backupFiles.map((name) => this.#header(name, 'series-id'))).size;
  }

  /** Which of these backups to examine: the newest one, and if it is thorough, a random one of the others. */
  examined(names: readonly string[]): readonly string[] {
    const older = names.slice(0, -1);
    const other = this.isThorough && older.length > 0 ? [this.#dice.pick(older)] : [];
    return [...other, ...names.slice(-1)];
  }

  /**
   * The names of the backups that are there, oldest first. They are identified by their headers, not by their names.
   */
  get held(): string[] {
    const names = new Map(this.files.map((name) => [this.#idOf(name), name]));
    return [...this.#held.keys()].flatMap((id) => names.get(id) ?? []);
  }

  /** Starts a run of coffer, in which a fault is going to strike. */
  start(words: readonly string[], usual = 0, environment: NodeJS.ProcessEnv = {}): CofferRun {
    const { argv, env } = this.#command(words);
    const commandLine = { argv, env: { ...env, ...environment } };
    return new CofferRun(commandLine, this.world.directory, usual);
  }

  async run(...words: readonly string[]): Promise<Ran> {
    const ran = await runUndisturbed(this.#command(words), this.world.directory);
    this.noteBackups();
    return ran;
  }

  #command([command = '', ...rest]: readonly string[]): CommandLine {
    const common = ['-d', 'usb', '-p', join(this.world.directory, 'passphrase')];
    return this.world.coffer([command, ...common, ...rest]);
  }

  backUp(...words: readonly string[]): Promise<Ran> {
    return this.run('backup', '-y', '--kdf-cost', '14', ...words, 'backups', ...QUBES);
  }

  /** Notes that new backups hold what the volumes hold now. */
  noteBackups(): void {
    for (const name of this.backupFiles.filter((each) => !this.#noted.has(each))) {
      const digests = QUBES.map((qube) => [qube, digestOf(this.world.imageOf(qube))] as const);
      this.#noted.add(name);
      this.#held.set(this.#idOf(name), new Map(digests));
    }
  }

  /** Keeps a link to partial files, which may be removed. */
  catchPartial(): void {
    const caught = join(this.world.directory, 'caught');
    mkdirSync(caught, { recursive: true });
    for (const name of readdirSync(this.backups).filter((each) => each.endsWith('.partial'))) {
      try {
        linkSync(join(this.backups, name), join(caught, `${this.#caught++}`));
      } catch {
        // The file was completed or removed in the meantime.
      }
    }
  }

  /** Adds the members of the partial files that were caught. */
  noteCaught(): void {
    const caught = join(this.world.directory, 'caught');
    if (!existsSync(caught)) return;
    this.sealed.addAll(caught);
    rmSync(caught, { recursive: true });
  }

  /** Simulates a day's work: some ranges of the volumes are overwritten with random data or zeros. */
  change(dice: Dice): void {
    for (const qube of dice.next() < 0.7 ? ['work'] : QUBES) {
      const image = openSync(this.world.imageOf(qube), 'r+');
      for (let times = 0; times < 3; times++) {
        const length = Math.ceil(dice.next() * LONGEST_CHANGE);
        const at = DATA.from + Math.floor(dice.next() * (DATA.to - DATA.from - length));
        const bytes = dice.next() < 0.8 ? randomBytes(length) : Buffer.alloc(length);
        writeSync(image, bytes, 0, length, at);
      }
      closeSync(image);
    }
  }

  /** Overwrites all data of the volumes. */
  rewrite(): void {
    for (const qube of QUBES) {
      const image = openSync(this.world.imageOf(qube), 'r+');
      const length = DATA.to - DATA.from;
      writeSync(image, randomBytes(length), 0, length, DATA.from);
      closeSync(image);
    }
  }

  /** About how many bytes of data the volumes have. */
  get dataBytes(): number {
    return QUBES.length * (DATA.to + MiB);
  }

  /** The total size of these files. */
  bytesOf(names: readonly string[]): number {
    return names.reduce((sum, name) => sum + statSync(join(this.backups, name)).size, 0);
  }

  /** What is wrong with a backup; empty if a restore produces exactly what was backed up. */
  async complaintsAbout(name: string): Promise<string[]> {
    const { ending, said } = await this.#restored(name);
    const wrong = QUBES.filter((qube) => !this.#isRestored(name, qube));
    await this.#removeRestored();
    if (ending === 0 && wrong.length === 0) return [];
    if (ending === 0) return [`${name} was restored, and ${wrong.join(', ')} is not as it was`];
    return [`${name} cannot be restored (${ending}): ${lastLine(said)}`];
  }

  /** Whether a restore refuses a backup; if it does not, it must produce exactly what was backed up. */
  async refusedOrRight(name: string): Promise<{ refused: boolean; complaints: string[] }> {
    const { ending } = await this.#restored(name);
    const wrong = QUBES.filter((qube) => !this.#isRestored(name, qube));
    const left = QUBES.filter((qube) => existsSync(this.world.imageOf(`${qube}-1`)));
    await this.#removeRestored();
    if (ending === 0) {
      const complaints = wrong.map((qube) => `${name} was restored, and ${qube} is not as it was`);
      return { refused: false, complaints };
    }
    // A complete VM may be restored even if another one is damaged.
    const bad = left.filter((qube) => wrong.includes(qube));
    return {
      refused: true,
      complaints: bad.map((qube) => `${qube} of ${name} was left half done`),
    };
  }

  /** Waits until no process of coffer is left. Returns complaints about those that remain. */
  async atRest(): Promise<string[]> {
    const deadline = performance.now() + GRACE;
    for (;;) {
      const left = processesIn(this.world.directory);
      if (left.length === 0) return [];
      if (performance.now() > deadline) {
        return left.map(({ commandLine }) => `the process ${commandLine} is left`);
      }
      await sleep(20);
    }
  }

  /** Resets everything to the state in which a trial begins. */
  rewind(): void {
    const last = this.stageBefore(0);
    for (const path of [STORED, KNOWN, IMAGES]) this.#putBack(path, last);
    this.#held = new Map(last.held);
    this.#noted = new Set(this.backupFiles);
  }

  /** The stage this many backups ago. */
  stageBefore(backups: number): Stage {
    const stage = this.stages.at(-1 - backups);
    if (stage === undefined) throw new RangeError('it does not go back so far');
    return stage;
  }

  /** Resets what is stored to a stage. */
  rollBackStorage(stage: Stage): void {
    this.#putBack(STORED, stage);
  }

  /** Resets what dom0 knows to a stage. */
  rollBackState(stage: Stage): void {
    this.#putBack(KNOWN, stage);
  }

  loseState(): void {
    rmSync(join(this.world.directory, KNOWN), { recursive: true, force: true });
  }

  #putBack(path: string, stage: Stage): void {
    const target = join(this.world.directory, path);
    rmSync(target, { recursive: true, force: true });
    copy(join(stage.path, path), target);
  }

  async #fill(dice: Dice): Promise<void> {
    for (let day = 1; day <= BACKUPS + 2; day++) {
      if (day > 1) this.change(dice);
      must(await this.backUp());
      if (day === 3) must(await this.run('prune', '-y', '--keep-last', '2', 'backups'));
      this.#keepStage();
    }
  }

  #keepStage(): void {
    const path = join(this.world.directory, 'stages', `${this.stages.length}`);
    const isLast = this.stages.length === BACKUPS + 1;
    for (const each of isLast ? [KNOWN, IMAGES] : [KNOWN]) {
      copy(join(this.world.directory, each), join(path, each));
    }
    // Links are enough: until the first trial begins, files are only added, and trials work on copies.
    mkdirSync(join(path, STORED), { recursive: true });
    for (const name of this.files) linkSync(join(this.backups, name), join(path, STORED, name));
    this.stages.push({ path, held: new Map(this.#held) });
  }

  #restored(name: string): Promise<Ran> {
    return this.run('restore', '-y', '--rename-conflicting', `backups/${name}`, ...QUBES);
  }

  #isRestored(name: string, qube: string): boolean {
    const image = this.world.imageOf(`${qube}-1`);
    return existsSync(image) && digestOf(image) === this.#held.get(this.#idOf(name))?.get(qube);
  }

  #idOf(name: string): string {
    return this.#header(name, 'backup-id');
  }

  #header(name: string, key: string): string {
    const header = readFileSync(join(this.backups, name)).toString('latin1', 0, 4096);
    return new RegExp(`^${key}=(.*)$`, 'm').exec(header)?.[1] ?? '';
  }

  async #removeRestored(): Promise<void> {
    for (const qube of QUBES) {
      if (existsSync(this.world.imageOf(`${qube}-1`))) await this.world.remove(`${qube}-1`);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.world[Symbol.asyncDispose]();
  }
}

function lastLine(said: string): string {
  return said.trim().split('\n').at(-1) ?? '';
}

function must({ ending, said }: Ran): void {
  if (ending !== 0) throw new Error(`the series could not be made: ${said}`);
}

/** Copies with times and holes: with another time, an image would look as if its VM had been started. */
function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  execFileSync('cp', ['-a', '--sparse=always', from, to]);
}

function digestOf(image: string): string {
  return createHash('sha256').update(readFileSync(image)).digest('hex');
}
