import type Gtk from 'gi://Gtk?version=3.0';
import type { CofferProgram } from './coffer-program.ts';
import { Form } from './form.ts';
import { PassphraseFields } from './passphrase-fields.ts';
import { type Place, PlaceFields, type PlaceTexts } from './place-fields.ts';
import { _ } from './texts.ts';
import type { Frame, Page } from './wizard.ts';

/** Where a backup is, and its passphrase. */
export interface Source extends Place {
  readonly passphrase: string;
}

/** The title of the page, and the labels of its fields. */
export interface SourceTexts extends Omit<PlaceTexts, 'qube'> {
  readonly title: string;
  /** What the user is told while there is no location. */
  readonly enter: string;
}

/** Asks where backups are, a device or a qube and a location there, and for the passphrase. */
export class SourcePage implements Page {
  readonly title: string;
  readonly isFirst: boolean;
  readonly next = _('_Next');
  readonly widget: Gtk.Widget;
  readonly #place: PlaceFields;
  readonly #passphrase: PassphraseFields;
  readonly #enter: string;

  constructor(frame: Frame, coffer: CofferProgram, texts: SourceTexts, isFirst = false) {
    this.title = texts.title;
    this.isFirst = isFirst;
    this.#enter = texts.enter;
    const form = new Form();
    this.#place = new PlaceFields(form, coffer, { qube: _('_Qube'), ...texts });
    this.#passphrase = new PassphraseFields(form);
    this.widget = form.widget;
    this.#place.changed = () => frame.refresh();
    this.#passphrase.changed = () => frame.refresh();
  }

  get source(): Source {
    return { ...this.#place.place, passphrase: this.#passphrase.text };
  }

  set place(place: Place) {
    this.#place.place = place;
  }

  /** Looks for devices and qubes, before the page is shown. */
  async prepare(): Promise<void> {
    await this.#place.look();
  }

  missing(): string | undefined {
    return this.#place.missing(this.#enter) ?? this.#passphrase.missing();
  }

  /** Shows, at the field, why it was refused. */
  refuse(field: string | undefined, sentence: string): void {
    if (field === 'passphrase') this.#passphrase.refuse(sentence);
    else this.#place.say(sentence);
  }
}
