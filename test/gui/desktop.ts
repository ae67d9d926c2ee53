import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Notified, Seen } from './seen.ts';
import { Session } from './session.ts';

const PATIENCE = 60_000;
/** The X names of keys that are not called by their characters. */
const KEYS: Readonly<Record<string, string>> = { ' ': 'space', '-': 'minus', '/': 'slash' };
/** The smallest screen that the windows have to fit on. */
const SCREEN = { width: 1024, height: 700 };

/** A window of coffer on a desktop without a screen, operated as a screen reader does. Dispose of it. */
export class Desktop implements AsyncDisposable {
  readonly #session: Session;
  readonly #process: number;
  readonly #scratch: string;
  readonly #scale: number;

  private constructor(session: Session, process: number, scratch: string, scale: number) {
    this.#session = session;
    this.#process = process;
    this.#scratch = scratch;
    this.#scale = scale;
  }

  /**
   * Opens a window. It runs the coffer in dist/, or a double of it.
   *
   * @param system the directory of a folder system; empty for the Qubes system whose environment is in `more`
   * @param programs a directory of programs, before those in PATH
   * @param more environment variables of the window
   */
  static async open(
    name: 'backup' | 'restore' | 'notify' | 'watch',
    system: string,
    {
      program = path.resolve('dist/coffer'),
      scale = 1,
      theme = 'Adwaita',
      language = '',
      home = '',
      programs = '',
      more = {},
    } = {},
  ): Promise<Desktop> {
    const scratch = await mkdtemp(path.join(tmpdir(), 'coffer-desktop-'));
    const session = await Session.of(scale);
    const environment = {
      COFFER_PROGRAM: program,
      ...(system === '' ? {} : { COFFER_SYSTEM: system }),
      HOME: home === '' ? scratch : home,
      PATH: [programs, process.env['PATH']].filter(Boolean).join(':'),
      LANGUAGE: language,
      GDK_SCALE: String(scale),
      GTK_THEME: theme,
      ...more,
    };
    const words = [path.resolve('dist/coffer-gui'), name];
    const started = Number(await session.ask({ ask: 'start', words, environment }));
    return new Desktop(session, started, scratch, scale);
  }

  /** The home directory of the window's user. */
  get home(): string {
    return this.#scratch;
  }

  /** The socket of the session bus. */
  async bus(): Promise<string> {
    const address = String(await this.#session.ask({ ask: 'bus' }));
    return /^unix:path=([^,]*)/.exec(address)?.[1] ?? '';
  }

  /** The processes that the window has started, by their ids. */
  get children(): string[] {
    const id = this.#process;
    return readFileSync(`/proc/${id}/task/${id}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter(Boolean);
  }

  /** Kills the program of the window, but not what it has started. */
  kill(): void {
    process.kill(this.#process, 'SIGKILL');
  }

  /** The text that was copied last. */
  async clipboard(): Promise<string> {
    return String(await this.#session.ask({ ask: 'clipboard' }));
  }

  /** Everything that is shown now. */
  async look(): Promise<readonly Seen[]> {
    const until = Date.now() + PATIENCE;
    for (;;) {
      const seen = (await this.#session.ask({ ask: 'look' })) as readonly Seen[] | false;
      if (seen !== false) return seen;
      if (Date.now() > until) throw new Error('what is shown changes all the time');
    }
  }

  /** Waits until something is shown that matches. */
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
      // During a change of pages, the old and the new page may have the same access key.
      const fault = faultIn(all);
      if (isSo(all) && fault === undefined) return;
      if (Date.now() > until) throw new Error(fault ?? `${why}: there is ${shown(all)}`);
      await this.#session.ask({ ask: 'change' });
    }
  }

  /** Waits for a text: a label, a cell, a title. */
  async sees(text: string | RegExp): Promise<Seen> {
    return this.find(String(text), ({ name, text: content }) =>
      [name, content].some((each) => (typeof text === 'string' ? each === text : text.test(each))),
    );
  }

  /** Waits for a condition that does not depend on the window. */
  async seesEventually(isSo: () => boolean): Promise<void> {
    const until = Date.now() + PATIENCE;
    while (!isSo()) {
      if (Date.now() > until) throw new Error(`${String(isSo)} does not come true`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Waits until a text is gone. */
  async seesNoMore(text: RegExp): Promise<void> {
    await this.#eventually(
      `${String(text)} is still shown`,
      (all) => !all.some(({ name }) => text.test(name)),
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
    await this.#session.ask({ ask: 'press', path: (await this.find(name, isIt)).path });
  }

  /** Does the same as a double click on the row with this cell. */
  async activateRow(cell: string): Promise<void> {
    const isIt = ({ role, name, text }: Seen): boolean =>
      role === 'table cell' && [name, text].includes(cell);
    await this.#session.ask({ ask: 'activate', path: (await this.find(cell, isIt)).path });
  }

  /** Enters a text into the field with this label or name. */
  async type(label: string, text: string): Promise<void> {
    const field = await this.find(
      label,
      (seen) => [seen.label, seen.name].includes(label) && /text|password|spin/.test(seen.role),
    );
    await this.#session.ask({ ask: 'type', path: field.path, text });
  }

  /** Chooses an item in the combo box with this label or name, once it has an item whose name begins so. */
  async choose(label: string, item: string): Promise<void> {
    const isIt = (seen: Seen): boolean =>
      [seen.label, seen.name].includes(label) && seen.role === 'combo box';
    const until = Date.now() + PATIENCE;
    for (;;) {
      const { path: at } = await this.find(label, isIt);
      if ((await this.#session.ask({ ask: 'choose', path: at, text: item })) === true) return;
      if (Date.now() > until) throw new Error(`${label} has no ${item}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Presses a key of the keyboard, by its X name: `Tab`, `Return`, `n`. */
  async pressKey(key: string, { withAlt = false } = {}): Promise<void> {
    const isPressed = await this.#session.ask({ ask: 'key', key, withAlt });
    if (isPressed !== true) throw new Error(`no key ${key}`);
  }

  /** Presses the keys of a text, one after the other. */
  async pressKeys(text: string): Promise<void> {
    for (const key of text) await this.pressKey(KEYS[key] ?? key);
  }

  /** Drags a cell to the middle of a list, with the mouse. */
  async drag(cell: string, list: string): Promise<void> {
    const from = await this.find(
      cell,
      ({ role, name, text }) => role === 'table cell' && [name, text].includes(cell),
    );
    const to = await this.find(list, ({ role, name }) => role.includes('table') && name === list);
    await this.#session.ask({ ask: 'drag', path: from.path, to: to.path });
  }

  /** Presses Tab until something with this name or label has the focus. */
  async tabTo(name: string): Promise<void> {
    const isIt = (seen: Seen): boolean => seen.isFocused && [seen.name, seen.label].includes(name);
    const until = Date.now() + PATIENCE;
    while (!(await this.look()).some(isIt)) {
      if (Date.now() > until) throw new Error(`the Tab key does not lead to ${name}`);
      await this.pressKey('Tab');
    }
  }

  /** Waits for a notification, with this summary if it is given. */
  async isNotified(summary?: string): Promise<Notified> {
    const until = Date.now() + PATIENCE;
    for (;;) {
      const found = (await this.#session.ask({ ask: 'notified' })) as Notified | false;
      if (found !== false && (summary ?? found.summary) === found.summary) return found;
      if (Date.now() > until) throw new Error(`there is no notification ${summary ?? ''}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** Chooses the action of the notification. */
  async act(): Promise<void> {
    if ((await this.#session.ask({ ask: 'act' })) !== true) throw new Error('nothing to act on');
  }

  /** Takes a picture of the window. */
  async takePicture(file: string): Promise<void> {
    const { size } = await this.find('a window', ({ role }) => role === 'frame');
    const [width = 0, height = 0] = size.map((each) => each * this.#scale);
    const isTaken = await this.#session.ask({ ask: 'picture', file, width, height });
    if (isTaken !== true) throw new Error(`no picture: ${file}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.ask({ ask: 'end' });
    await rm(this.#scratch, { recursive: true, force: true });
  }
}

/** What no window may have: the first fault, in a sentence. */
function faultIn(all: readonly Seen[]): string | undefined {
  return sharedLetter(all) ?? all.map(faultOf).find((each) => each !== undefined);
}

/** What people operate. */
const CONTROL = /button|check box|combo box|entry|text|spin/;
/** What is in a combo box, which has a name and is disabled as a whole. */
const INNER = 'toggle button';

function faultOf({ role, size, ...seen }: Seen): string | undefined {
  const [width = 0, height = 0] = size;
  if (width > SCREEN.width || height > SCREEN.height) {
    return `the ${role} ${seen.name} is too large: ${width} × ${height}`;
  }
  if (!CONTROL.test(role) || role === INNER) return undefined;
  if (seen.name === '' && seen.label === '') return `a ${role} at ${seen.path.join()} has no name`;
  if (!seen.isEnabled && seen.why === '') {
    return `no sentence says why ${seen.label || seen.name} is disabled`;
  }
  return undefined;
}

/** Reports access keys that two things in a window share, as such a key presses neither. */
function sharedLetter(all: readonly Seen[]): string | undefined {
  const known = new Map<string, string>();
  for (const { path: at, key, name, label } of all.filter((each) => each.key !== '')) {
    const window = at.slice(0, 2).join('.');
    const other = known.get(`${window} ${key}`);
    const own = label || name;
    if (other !== undefined) return `${key} leads to ${other} and to ${own}`;
    known.set(`${window} ${key}`, own);
  }
  return undefined;
}

function shown(all: readonly Seen[]): string {
  return all.map(({ role, name, text }) => `${role} "${name || text}"`).join(', ');
}
