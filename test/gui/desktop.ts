import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { ANSWER, type Request, type Seen } from './seen.ts';

const PATIENCE = 30_000;

/**
 * A desktop of its own, without a screen, on which a window of coffer runs: read and pressed as a screen reader does.
 * Dispose of it.
 */
export class Desktop implements AsyncDisposable {
  readonly #session: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;
  readonly #scratch: string;
  #stderr = '';

  private constructor(session: ChildProcessWithoutNullStreams, scratch: string) {
    this.#session = session;
    this.#scratch = scratch;
    session.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()));
    this.#answers = createInterface(session.stdout)[Symbol.asyncIterator]();
  }

  /** Opens a window on a folder system; behind it is the coffer in dist/, or a program that plays it. */
  static async open(
    name: 'backup' | 'restore',
    system: string,
    {
      program = path.resolve('dist/coffer'),
      scale = 1,
      theme = 'Adwaita',
      language = '',
      home = '',
    } = {},
  ): Promise<Desktop> {
    const scratch = await mkdtemp(path.join(tmpdir(), 'coffer-desktop-'));
    const driver = path.join(scratch, 'driver');
    await build({
      ...{ entryPoints: ['test/gui/driver/main.ts'], outfile: driver, bundle: true },
      ...{ platform: 'neutral', format: 'esm', target: 'firefox102', external: ['gi://*'] },
    });
    const gui = path.resolve('dist/coffer-gui');
    const session = spawn(
      'xvfb-run',
      [
        ...['-a', '-s', `-screen 0 ${1024 * scale}x${700 * scale}x24`, 'dbus-run-session', '--'],
        ...['sh', '-c', 'driver=$1; shift; "$@" >&2 </dev/null & exec gjs -m "$driver"', 'sh'],
        ...[driver, gui, name],
      ],
      {
        env: {
          ...process.env,
          COFFER_PROGRAM: program,
          COFFER_SYSTEM: system,
          HOME: home === '' ? scratch : home,
          LC_ALL: 'C.UTF-8',
          LANGUAGE: language,
          GDK_SCALE: String(scale),
          GTK_THEME: theme,
        },
      },
    );
    return new Desktop(session, scratch);
  }

  /** The home directory of its user. */
  get home(): string {
    return this.#scratch;
  }

  /** All that is shown now. */
  async look(): Promise<readonly Seen[]> {
    for (;;) {
      const seen = (await this.#ask({ ask: 'look' })) as readonly Seen[] | false;
      if (seen !== false) return seen;
    }
  }

  /** Waits until something is shown that fits. */
  async find(what: string, fits: (seen: Seen) => boolean): Promise<Seen> {
    let found: Seen | undefined;
    await this.#eventually(`${what} is not shown`, (all) => {
      found = all.find(fits);
      return found !== undefined;
    });
    if (found === undefined) throw new Error(`${what} was shown, and is not any more`);
    return found;
  }

  async #eventually(why: string, isSo: (all: readonly Seen[]) => boolean): Promise<void> {
    const until = Date.now() + PATIENCE;
    for (;;) {
      const all = await this.look();
      if (isSo(all)) return;
      if (Date.now() > until) throw new Error(`${why}: there is ${shown(all)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Waits for a text: a label, a cell, a title. */
  async sees(text: string | RegExp): Promise<Seen> {
    return this.find(String(text), ({ name, text: content }) =>
      [name, content].some((each) => (typeof text === 'string' ? each === text : text.test(each))),
    );
  }

  /** Waits until no window is shown. */
  async seesNothing(): Promise<void> {
    await this.#eventually('a window is shown', (all) => !all.some(({ role }) => role === 'frame'));
  }

  /** Presses a button once it can be pressed. */
  async press(name: string): Promise<void> {
    const isIt = (seen: Seen): boolean =>
      seen.name === name && /button|check/.test(seen.role) && seen.isEnabled;
    await this.#ask({ ask: 'press', path: (await this.find(name, isIt)).path });
  }

  /** Puts text into the field with this label. */
  async type(label: string, text: string): Promise<void> {
    const field = await this.find(
      label,
      (seen) => seen.label === label && /text|password|spin/.test(seen.role),
    );
    await this.#ask({ ask: 'type', path: field.path, text });
  }

  /** Chooses an item in the combo box with this label, once it has one whose name is this or begins with it. */
  async choose(label: string, item: string): Promise<void> {
    const isIt = (seen: Seen): boolean => seen.label === label && seen.role === 'combo box';
    const until = Date.now() + PATIENCE;
    for (;;) {
      const { path: at } = await this.find(label, isIt);
      if ((await this.#ask({ ask: 'choose', path: at, text: item })) === true) return;
      if (Date.now() > until) throw new Error(`${label} has no ${item}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Presses a key of the keyboard, by its name in X: `Tab`, `Return`, `n`. */
  async pressKey(key: string): Promise<void> {
    if ((await this.#ask({ ask: 'key', key })) !== true) throw new Error(`no key ${key}`);
  }

  /** Goes on with the Tab key until what has this name, or this label, has the focus. */
  async tabTo(name: string): Promise<void> {
    const isIt = (seen: Seen): boolean => seen.isFocused && [seen.name, seen.label].includes(name);
    const until = Date.now() + PATIENCE;
    while (!(await this.look()).some(isIt)) {
      if (Date.now() > until) throw new Error(`the Tab key does not lead to ${name}`);
      await this.pressKey('Tab');
    }
  }

  /** Takes a picture of the screen. */
  async takePicture(file: string): Promise<void> {
    if ((await this.#ask({ ask: 'picture', file })) !== true)
      throw new Error(`no picture: ${file}`);
  }

  async #ask(request: Request): Promise<unknown> {
    this.#session.stdin.write(`${JSON.stringify(request)}\n`);
    for (;;) {
      const line = await this.#answers.next();
      if (line.done === true) throw new Error(`the desktop ended: ${this.#stderr}`);
      // The accessibility bus prints, too.
      if (line.value.startsWith(ANSWER)) return JSON.parse(line.value.slice(ANSWER.length));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session.stdin.end();
    if (this.#session.exitCode === null) await once(this.#session, 'exit');
    await rm(this.#scratch, { recursive: true, force: true });
  }
}

function shown(all: readonly Seen[]): string {
  return all.map(({ role, name, text }) => `${role} "${name || text}"`).join(', ');
}
