import type Gtk from 'gi://Gtk?version=3.0';
import type { CofferProgram } from '../coffer-program.ts';
import { Form } from '../form.ts';
import { PassphraseFields } from '../passphrase-fields.ts';
import { type Place, PlaceFields } from '../place-fields.ts';
import { _ } from '../texts.ts';
import type { Frame, Page } from '../wizard.ts';

/** Where a backup is, and its passphrase. */
export interface Source extends Place {
  readonly passphrase: string;
}

/** Where the backup is: a device or a qube, and a directory or file there, or a command. */
export class SourcePage implements Page {
  readonly title = _('Where is the backup?');
  readonly isFirst = true;
  readonly next = _('_Next');
  readonly widget: Gtk.Widget;
  readonly #place: PlaceFields;
  readonly #passphrase: PassphraseFields;

  constructor(frame: Frame, coffer: CofferProgram) {
    const form = new Form();
    this.#place = new PlaceFields(form, coffer, {
      qube: _('_Qube'),
      location: _('_Directory, file or command'),
      isCommand: _('This is a co_mmand that outputs the backup'),
    });
    this.#passphrase = new PassphraseFields(form);
    this.widget = form.widget;
    this.#place.changed = () => frame.refresh();
    this.#passphrase.changed = () => frame.refresh();
  }

  get source(): Source {
    return { ...this.#place.place, passphrase: this.#passphrase.text };
  }

  /** Looks at what there is, before the page is shown. */
  async prepare(): Promise<void> {
    await this.#place.look();
  }

  missing(): string | undefined {
    const isEmpty = this.#place.place.location.trim() === '';
    return isEmpty ? _('Enter a directory, a file or a command.') : this.#passphrase.missing();
  }

  /** Says at the field why it was refused. */
  refuse(field: string | undefined, sentence: string): void {
    if (field === 'passphrase') this.#passphrase.refuse(sentence);
    else this.#place.say(sentence);
  }
}
