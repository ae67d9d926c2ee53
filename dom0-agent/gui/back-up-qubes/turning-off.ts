import GLib from 'gi://GLib?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import { sentenceLabel } from '../form.ts';
import { runProgram } from '../run-program.ts';
import { _, fill } from '../texts.ts';

/** How many seconds the user, who may be back, has to keep the computer on. */
const SECONDS_TO_CANCEL = 60;

/** Turns the computer off after a countdown, which the user can stop. */
export class TurningOff {
  readonly widget = new Gtk.Box({ spacing: 12 });
  readonly #sentence = sentenceLabel();
  readonly #buttons = new Gtk.Box({ spacing: 6 });
  #secondsLeft = SECONDS_TO_CANCEL;

  constructor() {
    this.widget.add(this.#sentence);
    this.widget.add(this.#buttons);
    this.#addButton(_('_Keep it on'), () => this.stop());
    this.#addButton(_('Turn it off _now'), () => void this.#turnOff());
    this.#tell();
    GLib.timeout_add_seconds(GLib.PRIORITY_DEFAULT, 1, () => this.#count());
  }

  /** Keeps the computer on. */
  stop(): void {
    this.#secondsLeft = 0;
    this.widget.hide();
  }

  #addButton(label: string, pressed: () => void): void {
    const button = new Gtk.Button({ label, useUnderline: true });
    button.connect('clicked', pressed);
    this.#buttons.add(button);
  }

  #count(): boolean {
    if (this.#secondsLeft === 0) return GLib.SOURCE_REMOVE;
    this.#secondsLeft--;
    this.#tell();
    if (this.#secondsLeft > 0) return GLib.SOURCE_CONTINUE;
    void this.#turnOff();
    return GLib.SOURCE_REMOVE;
  }

  #tell(): void {
    const sentence = _('The computer will be turned off in {n} s, unless you close this window.');
    this.#sentence.label = fill(sentence, { n: this.#secondsLeft });
  }

  async #turnOff(): Promise<void> {
    this.#secondsLeft = 0;
    this.#buttons.hide();
    try {
      await runProgram(['systemctl', 'poweroff']);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#sentence.label = fill(_('The computer could not be turned off: {why}'), { why });
    }
  }
}
