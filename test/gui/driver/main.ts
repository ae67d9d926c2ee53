// Runs beside a window, in the same session, and reads and presses what is in it by AT-SPI, as a screen
// reader does. Each line of standard input is a request, each line of standard output its answer.
import Atspi, { type Accessible } from 'gi://Atspi?version=2.0';
import Gdk from 'gi://Gdk?version=3.0';
import Gio from 'gi://Gio?version=2.0';
import GLib from 'gi://GLib?version=2.0';
import { ANSWER, type Request, type Seen } from '../seen.ts';

Gio._promisify(Gio.DataInputStream.prototype, 'read_line_async', 'read_line_finish');
Gdk.DisplayManager.get().open_display('');
Atspi.init();
const loop = new GLib.MainLoop(null, false);
void answerAll()
  .catch((error: unknown) => printerr(String(error)))
  .finally(() => loop.quit());
loop.run();

async function answerAll(): Promise<void> {
  // Node.js gives sockets, which GIO cannot open by itself.
  const { STDIN_INHERIT, STDOUT_PIPE } = Gio.SubprocessFlags;
  const cat = Gio.Subprocess.new(['cat'], STDIN_INHERIT | STDOUT_PIPE);
  const pipe = cat.get_stdout_pipe();
  if (pipe === null) return;
  const requests = new Gio.DataInputStream({ baseStream: pipe });
  for (;;) {
    const [line] = await requests.read_line_async(GLib.PRIORITY_DEFAULT, null);
    if (line === null) return;
    const request = JSON.parse(new TextDecoder().decode(line)) as Request;
    print(`${ANSWER}${JSON.stringify(answerTo(request))}`);
  }
}

function answerTo(request: Request): Seen[] | boolean {
  if (request.ask === 'look') return lookAtAll();
  if (request.ask === 'picture') return takePicture(request.file);
  if (request.ask === 'key') return pressKey(request.key);
  const found = accessibleAt(request.path);
  if (found === undefined) return false;
  switch (request.ask) {
    case 'press':
      return found.get_action_iface()?.do_action(0) ?? false;
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

/** Presses a key of the keyboard, by its name in X. */
function pressKey(key: string): boolean {
  const code = Gdk.keyval_from_name(key);
  return Atspi.generate_keyboard_event(code, null, Atspi.KeySynthType.SYM);
}

/** All of the screen, as a PNG. */
function takePicture(file: string): boolean {
  const screen = Gdk.get_default_root_window();
  const { width, height } = { width: screen.get_width(), height: screen.get_height() };
  return (
    Gdk.pixbuf_get_from_window(screen, 0, 0, width, height)?.savev(file, 'png', [], []) ?? false
  );
}

/** Chooses an item of a combo box, by its name or what that begins with. */
function choose(box: Accessible, item: string): boolean {
  // Items that came since are not told of, and have no name before they are shown or chosen.
  box.clear_cache();
  const isIt = (name: string | null): boolean => name === item || name?.startsWith(item) === true;
  return childrenOf(box)
    .flatMap(childrenOf)
    .some(({ name }, index) => {
      if (name !== null && !isIt(name)) return false;
      box.get_selection_iface()?.select_child(index);
      box.clear_cache();
      return isIt(box.name);
    });
}

/** All that is shown; false when some of it went while it was looked at. */
function lookAtAll(): Seen[] | false {
  try {
    return lookAt(Atspi.get_desktop(0), []);
  } catch (error) {
    if (error instanceof GLib.Error) return false;
    throw error;
  }
}

/** All that is shown at and below `at`. */
function lookAt(at: Accessible, path: readonly number[]): Seen[] {
  const below = childrenOf(at).flatMap((child, index) => lookAt(child, [...path, index]));
  const state = at.get_state_set();
  const { SHOWING, SENSITIVE, CHECKED, FOCUSED } = Atspi.StateType;
  if (!state.contains(SHOWING)) return below;
  return [
    {
      path,
      role: at.get_role_name(),
      name: at.name ?? '',
      label: labelOf(at),
      text: textOf(at),
      isEnabled: state.contains(SENSITIVE),
      isChecked: state.contains(CHECKED),
      isFocused: state.contains(FOCUSED),
    },
    ...below,
  ];
}

function childrenOf(at: Accessible): Accessible[] {
  return Array.from({ length: at.get_child_count() }, (_, index) =>
    at.get_child_at_index(index),
  ).filter((child) => child !== null);
}

function labelOf(at: Accessible): string {
  const relations = at.get_relation_set();
  const labelled = relations.find(
    (each) => each.get_relation_type() === Atspi.RelationType.LABELLED_BY,
  );
  return labelled?.get_target(0).name ?? '';
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
