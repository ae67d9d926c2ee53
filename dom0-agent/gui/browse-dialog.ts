import GObject from 'gi://GObject?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import { type CofferProgram, resultOf } from './coffer-program.ts';
import { explain, sentenceLabel } from './form.ts';
import { _, fill, sizeText } from './texts.ts';
import type { BackupsInDirectory } from './coffer-events.ts';

/** The user's home in a VM. */
const HOME = '.';

/** Lets the user choose a directory of a VM, which is started if necessary; undefined if none was chosen. */
export async function askForDirectory(
  parent: Gtk.Window,
  coffer: CofferProgram,
  vm: string,
  first: string,
): Promise<string | undefined> {
  const dialog = new BrowseDialog(parent, coffer, vm);
  void dialog.enter(first.trim() === '' ? HOME : first);
  return await dialog.chosen();
}

class BrowseDialog {
  readonly #coffer: CofferProgram;
  readonly #vm: string;
  readonly #dialog: Gtk.Dialog;
  readonly #store = new Gtk.ListStore();
  readonly #view = new Gtk.TreeView({ headersVisible: false });
  readonly #where = sentenceLabel();
  readonly #up = new Gtk.Button({ label: _('_Up'), useUnderline: true });
  readonly #choose: Gtk.Widget;
  #path = '';
  /** Counts the directories entered, so that an answer about an earlier one can be ignored. */
  #turn = 0;

  constructor(parent: Gtk.Window, coffer: CofferProgram, vm: string) {
    this.#coffer = coffer;
    this.#vm = vm;
    const title = fill(_('A directory in {qube}'), { qube: vm });
    this.#dialog = new Gtk.Dialog({ title, transientFor: parent, modal: true });
    this.#dialog.set_default_size(500, 400);
    this.#dialog.add_button(_('_Cancel'), Gtk.ResponseType.CANCEL);
    this.#choose = this.#dialog.add_button(_('C_hoose this directory'), Gtk.ResponseType.OK);
    for (const each of [this.#choose, this.#up]) explain(each, this.#where);
    this.#store.set_column_types([GObject.TYPE_STRING]);
    this.#view.model = this.#store;
    this.#view.get_accessible().set_name(_('Directories'));
    const column = new Gtk.TreeViewColumn();
    const cell = new Gtk.CellRendererText();
    column.pack_start(cell, true);
    column.add_attribute(cell, 'text', 0);
    this.#view.append_column(column);
    this.#view.connect('row-activated', (_view, path) => this.#activate(path));
    this.#up.connect('clicked', () => void this.enter(`${this.#path}/..`));
    const scrolled = new Gtk.ScrolledWindow({ expand: true, shadowType: Gtk.ShadowType.IN });
    scrolled.add(this.#view);
    const content = this.#dialog.get_content_area();
    content.spacing = 6;
    content.borderWidth = 12;
    for (const each of [this.#where, scrolled, this.#up]) content.add(each);
    this.#dialog.show_all();
  }

  /** Resolves with the chosen directory, or undefined, when the dialog is closed. */
  chosen(): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#dialog.connect('response', (_dialog, response) => {
        const isChosen = response === (Gtk.ResponseType.OK as number);
        resolve(isChosen && this.#path !== '' ? this.#path : undefined);
        this.#turn++;
        this.#dialog.destroy();
      });
    });
  }

  /** Shows what is in a directory. If the first one cannot be listed, shows the home directory. */
  async enter(directory: string): Promise<void> {
    const turn = ++this.#turn;
    const isNow = (): boolean => turn === this.#turn;
    this.#where.label = fill(_('Opening {place} …'), { place: `${this.#vm}:${directory}` });
    this.#setReady(false);
    try {
      const found = await this.#list(directory, (sentence) => {
        if (isNow()) this.#where.label = sentence;
      });
      if (isNow()) this.#show(found);
    } catch (error) {
      if (!isNow()) return;
      if (this.#path === '' && directory !== HOME) await this.enter(HOME);
      else this.#fail(error);
    }
  }

  async #list(directory: string, tell: (sentence: string) => void): Promise<BackupsInDirectory> {
    const from = this.#vm === 'dom0' ? [] : ['-d', this.#vm];
    const words = ['list', '--no-contents', ...from, '--', directory];
    const user = {
      tell: (event: { event: string; sentence?: string }) => {
        if (event.event === 'info' && event.sentence !== undefined) tell(event.sentence);
      },
    };
    return (await resultOf(this.#coffer.start(words), user)) as BackupsInDirectory;
  }

  #show({ location, freeBytes, directories, backups }: BackupsInDirectory): void {
    this.#path = location.slice(location.indexOf(':') + 1);
    const free =
      freeBytes === null ? '' : fill(_('{size} is free there.'), { size: sizeText(freeBytes) });
    const held =
      backups.length === 0
        ? ''
        : fill(_('Backups here: {n}, the newest is {name}.'), {
            ...{ n: backups.length, name: backups[0]?.name ?? '' },
          });
    const none = directories.length === 0 ? _('There are no directories in it.') : '';
    this.#where.label = [location, free, held, none].filter((text) => text !== '').join('\n');
    this.#store.clear();
    for (const name of directories) this.#store.set(this.#store.append(), [0], [name]);
    this.#setReady(true);
    this.#view.grab_focus();
  }

  #fail(error: unknown): void {
    this.#where.label = error instanceof Error ? error.message : String(error);
    this.#up.sensitive = this.#path !== '';
  }

  #setReady(isReady: boolean): void {
    this.#choose.sensitive = isReady;
    this.#up.sensitive = isReady;
    this.#up.visible = this.#path !== '/';
  }

  #activate(path: Gtk.TreePath): void {
    const [isFound, row] = this.#store.get_iter(path);
    if (!isFound) return;
    void this.enter(`${this.#path}/${String(this.#store.get_value(row, 0))}`);
  }
}
