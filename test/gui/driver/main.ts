// Runs in the session of a window, and reads and operates it through AT-SPI, as a screen reader does. Each line of
// standard input is a request, each line of standard output its answer.
import Atspi, { type Accessible } from 'gi://Atspi?version=2.0';
import Gdk from 'gi://Gdk?version=3.0';
import Gio from 'gi://Gio?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import GLib from 'gi://GLib?version=2.0';
import system from 'system';
import { ANSWER, type Notified, type Request, type Seen } from '../seen.ts';
import { after, Changes } from './changes.ts';
import { Notifications } from './notifications.ts';

Gio._promisify(Gio.DataInputStream.prototype, 'read_line_async', 'read_line_finish');
Gio._promisify(Gio.Subprocess.prototype, 'wait_async', 'wait_finish');
Gdk.DisplayManager.get().open_display('');
Gtk.init(null);
Atspi.init();
const notifications = new Notifications();
const changes = new Changes();
const loop = new GLib.MainLoop(null, false);
void answerAll()
  .catch((error: unknown) => printerr(String(error)))
  .finally(() => loop.quit());
loop.run();

async function answerAll(): Promise<void> {
  // Node.js uses sockets for standard streams, which GIO cannot open by name.
  const { STDIN_INHERIT, STDOUT_PIPE } = Gio.SubprocessFlags;
  const cat = Gio.Subprocess.new(['cat'], STDIN_INHERIT | STDOUT_PIPE);
  const pipe = cat.get_stdout_pipe();
  if (pipe === null) return;
  const requests = new Gio.DataInputStream({ baseStream: pipe });
  for (;;) {
    const [line] = await requests.read_line_async(GLib.PRIORITY_DEFAULT, null);
    if (line === null) return;
    const request = JSON.parse(new TextDecoder().decode(line)) as Request;
    print(`${ANSWER}${JSON.stringify(await answerTo(request))}`);
    // GJS drops what calls back between two slices of a collection: see dom0-agent/gui/collect-garbage.ts.
    system.gc();
  }
}

async function answerTo(request: Request): Promise<Seen[] | Notified | string | number | boolean> {
  if (request.ask === 'notified') return notifications.last ?? false;
  if (request.ask === 'bus') return GLib.getenv('DBUS_SESSION_BUS_ADDRESS') ?? '';
  if (request.ask === 'clipboard') return textOnClipboard();
  if (request.ask === 'act') return notifications.act();
  if (request.ask === 'start') return startWindow(request.words, request.environment);
  if (request.ask === 'end') return endWindow();
  if (request.ask === 'look') return lookAtAll();
  if (request.ask === 'change') return changes.wait();
  if (request.ask === 'picture') return takePicture(request);
  if (request.ask === 'key') return pressKey(request.key, request.withAlt);
  const found = accessibleAt(request.path);
  if (found === undefined) return false;
  switch (request.ask) {
    case 'drag':
      return drag(found, accessibleAt(request.to));
    case 'press':
      return found.get_action_iface()?.do_action(0) ?? false;
    case 'activate':
      return activate(found);
    case 'choose':
      return choose(found, request.text);
    case 'type':
      return (
        found.get_value_iface()?.set_current_value(Number(request.text)) ??
        found.get_editable_text_iface()?.set_text_contents(request.text) ??
        false
      );
    case 'focus':
      return found.get_component_iface()?.grab_focus() ?? false;
  }
}

function textOnClipboard(): Promise<string> {
  const clipboard = Gtk.Clipboard.get(Gdk.Atom.intern('CLIPBOARD', false));
  return new Promise((resolve) =>
    clipboard.request_text((_clipboard, text) => resolve(text ?? '')),
  );
}

let window: { readonly process: Gio.Subprocess; readonly id: number } | undefined;

function startWindow(
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): number {
  const launcher = new Gio.SubprocessLauncher({ flags: Gio.SubprocessFlags.STDOUT_SILENCE });
  for (const [name, value] of Object.entries(environment)) launcher.setenv(name, value, true);
  // With a process group of its own, and of what it starts.
  const process = launcher.spawnv(['setsid', ...words]);
  const id = Number(process.get_identifier());
  window = { process, id };
  return id;
}

/** Kills the program of the window, and the programs that it has started. */
async function endWindow(): Promise<boolean> {
  if (window === undefined) return false;
  const kill = Gio.Subprocess.new(
    ['kill', '-KILL', '--', `-${window.id}`],
    Gio.SubprocessFlags.STDERR_SILENCE,
  );
  await kill.wait_async(null);
  await window.process.wait_async(null);
  window = undefined;
  notifications.forget();
  return true;
}

/** Presses a key of the keyboard, by its X name. */
function pressKey(key: string, withAlt: boolean): boolean {
  const { SYM, PRESS, RELEASE, PRESSRELEASE } = Atspi.KeySynthType;
  const value = Gdk.keyval_from_name(key);
  if (!withAlt) return Atspi.generate_keyboard_event(value, null, SYM);
  // A key that is held is told by its code.
  const alt = codeOf(Gdk.KEY_Alt_L);
  return (
    Atspi.generate_keyboard_event(alt, null, PRESS) &&
    Atspi.generate_keyboard_event(codeOf(value), null, PRESSRELEASE) &&
    Atspi.generate_keyboard_event(alt, null, RELEASE)
  );
}

function codeOf(value: number): number {
  const display = Gdk.Display.get_default();
  if (display === null) return 0;
  const [, keys] = Gdk.Keymap.get_for_display(display).get_entries_for_keyval(value);
  return keys[0]?.keycode ?? 0;
}

/** Drags from the middle of one thing to the middle of another, in several moves, as a hand does. */
async function drag(from: Accessible, to: Accessible | undefined): Promise<boolean> {
  const [start, end] = [from, to].map((each) => middleOf(each));
  if (start === undefined || end === undefined) return false;
  const STEPS = 10;
  await mouse(start, 'abs');
  await mouse(start, 'b1p');
  for (let step = 1; step <= STEPS; step++) {
    const part = (one: number, other: number): number =>
      Math.round(one + ((other - one) * step) / STEPS);
    await mouse({ x: part(start.x, end.x), y: part(start.y, end.y) }, 'abs');
  }
  return mouse(end, 'b1r');
}

/** Gives the window time to handle each move before the next. */
async function mouse({ x, y }: { x: number; y: number }, event: string): Promise<boolean> {
  const isDone = Atspi.generate_mouse_event(x, y, event);
  await after(30);
  return isDone;
}

function middleOf(at: Accessible | undefined): { x: number; y: number } | undefined {
  const extents = at?.get_component_iface()?.get_extents(Atspi.CoordType.SCREEN);
  if (extents === undefined) return undefined;
  const { x, y, width, height } = extents;
  return { x: Math.round(x + width / 2), y: Math.round(y + height / 2) };
}

/** The upper left of the screen as a PNG, once it has stopped changing: windows are drawn late, and may be animated. */
async function takePicture(
  { file, width, height }: Extract<Request, { ask: 'picture' }>,
  former?: GLib.Bytes,
  left = 10,
): Promise<boolean> {
  // Nothing is under the mouse: no tooltip is shown.
  if (former === undefined) Atspi.generate_mouse_event(width - 1, height - 1, 'abs');
  const screen = Gdk.get_default_root_window();
  const picture = Gdk.pixbuf_get_from_window(screen, 0, 0, width, height);
  if (picture === null) return false;
  const pixels = picture.read_pixel_bytes();
  const isSame = former?.equal(pixels) ?? false;
  if (isSame || left === 0) return picture.savev(file, 'png', [], []);
  await after(250);
  return takePicture({ ask: 'picture', file, width, height }, pixels, left - 1);
}

/** Chooses an item of a combo box by its name, or the beginning of it. Returns whether there is one. */
function choose(box: Accessible, item: string): boolean {
  // There is no event when items are replaced.
  box.clear_cache();
  const names = childrenOf(box)
    .flatMap(childrenOf)
    .map((each) => each.get_name());
  const index = names.findIndex((name) => name.startsWith(item));
  return index >= 0 && (box.get_selection_iface()?.select_child(index) ?? false);
}

/** Does the same as a double click on a row of a table. */
function activate(cell: Accessible): boolean {
  const actions = cell.get_action_iface();
  const names = Array.from({ length: actions?.get_n_actions() ?? 0 }, (_, index) =>
    actions?.get_action_name(index),
  );
  return actions?.do_action(names.indexOf('activate')) ?? false;
}

/** Everything that is shown; false if some of it disappeared while it was read. */
function lookAtAll(): Seen[] | false {
  changes.looked();
  try {
    return lookAt(Atspi.get_desktop(0), []);
  } catch (error) {
    if (error instanceof GLib.Error) return false;
    throw error;
  }
}

/**
 * Everything that is shown at and below `at`.
 *
 * @param whyAbove the sentence that says why what is around it is disabled
 */
function lookAt(at: Accessible, path: readonly number[], whyAbove = ''): Seen[] {
  const state = at.get_state_set();
  const { SHOWING, SENSITIVE, CHECKED, FOCUSED } = Atspi.StateType;
  const { LABELLED_BY, DESCRIBED_BY } = Atspi.RelationType;
  const isShown = state.contains(SHOWING);
  // The desktop and its programs do not count as shown; in a window, nothing is shown in what is not.
  if (!isShown && path.length > 1) return [];
  const isEnabled = state.contains(SENSITIVE);
  // Each question is a message to the window: those are not asked whose answer is known.
  const why = isEnabled || !isShown ? '' : relatedText(at, DESCRIBED_BY) || whyAbove;
  const below = childrenOf(at).flatMap((child, index) => lookAt(child, [...path, index], why));
  if (!isShown) return below;
  const role = at.get_role_name();
  const isField = /text|password|spin|combo/.test(role);
  return [
    {
      path,
      role,
      // What is kept of a combo box may be older than its choice.
      name: (role === 'combo box' ? at.get_name() : at.name) ?? '',
      label: isField ? relatedText(at, LABELLED_BY) : '',
      // That of a label is its name.
      text: isField || role === 'table cell' ? textOf(at) : '',
      key: at.get_action_iface()?.get_key_binding(0) ?? '',
      ...{ isEnabled, why },
      size: /frame|dialog|alert/.test(role) ? sizeOf(at) : [],
      isChecked: state.contains(CHECKED),
      isFocused: state.contains(FOCUSED),
    },
    ...below,
  ];
}

function sizeOf(at: Accessible): number[] {
  const extents = at.get_component_iface()?.get_extents(Atspi.CoordType.SCREEN);
  return extents === undefined ? [] : [extents.width, extents.height];
}

function childrenOf(at: Accessible): Accessible[] {
  return Array.from({ length: at.get_child_count() }, (_, index) =>
    at.get_child_at_index(index),
  ).filter((child) => child !== null);
}

/** The text of the label that has this relation to it. */
function relatedText(at: Accessible, relation: number): string {
  const found = at.get_relation_set().find((each) => each.get_relation_type() === relation);
  return found?.get_target(0).name ?? '';
}

function textOf(at: Accessible): string {
  const text = at.get_text_iface();
  return text === null
    ? ''
    : Atspi.Text.prototype.get_text.call(text, 0, text.get_character_count());
}

function accessibleAt(path: readonly number[]): Accessible | undefined {
  let found: Accessible | null = Atspi.get_desktop(0);
  for (const index of path) found = found?.get_child_at_index(index) ?? null;
  return found ?? undefined;
}
