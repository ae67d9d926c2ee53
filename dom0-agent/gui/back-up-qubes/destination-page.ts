import GLib from 'gi://GLib?version=2.0';
import Gtk from 'gi://Gtk?version=3.0';
import { CofferFailed, type CofferProgram } from '../coffer-program.ts';
import { Form, check, explain, say, sentenceLabel } from '../form.ts';
import { PassphraseFields } from '../passphrase-fields.ts';
import type { Device } from '../place-choices.ts';
import { type Place, PlaceFields } from '../place-fields.ts';
import type { Source } from '../source-page.ts';
import { _, fill, timeText } from '../texts.ts';
import type { BackupPlan } from '../coffer-events.ts';
import type { Frame, Page } from '../wizard.ts';
import type { Settings } from './saved-settings.ts';
import { freeSentence, seriesSentence, startSentence } from './backup-plan-sentences.ts';

/** Where a backup goes, and how. */
export interface Destination extends Place {
  readonly encrypt: boolean;
  readonly compress: boolean;
  readonly passphrase: string;
  /** Whether to begin a new series, although there are backups. */
  readonly isNewSeries: boolean;
}

/** How long the user must not have typed before the destination is looked at, in ms. */
const PAUSE = 500;

/**
 * The page for the destination: a device or a qube, and a directory or a command there; encryption, compression and
 * passphrase.
 */
export class DestinationPage implements Page {
  readonly title = _('Where should the backup go?');
  readonly next = _('_Next');
  readonly widget: Gtk.Widget;
  readonly #frame: Frame;
  readonly #look: (destination: Destination) => Promise<BackupPlan>;
  readonly #place: PlaceFields;
  readonly #encrypt = check(_('_Encrypt backup'), true);
  readonly #compress = check(_('Com_press backup'), true);
  /** For a place that a command leads to: it is looked at only on request, as a half-typed command must not be run. */
  readonly #lookNow = new Gtk.Button({
    ...{ label: _('Look the_re'), useUnderline: true, halign: Gtk.Align.START },
  });
  /** What has to be entered before it can be looked at. */
  readonly #lookNote = sentenceLabel();
  readonly #looking = new Gtk.Box({ spacing: 12, noShowAll: true });
  readonly #save = check(_('_Save these settings for next time, without the passphrase'), true);
  readonly #warning: Gtk.Label;
  readonly #adopt = new Gtk.CheckButton({ active: true, noShowAll: true, useUnderline: true });
  readonly #adoptNote: Gtk.Label;
  readonly #passphrase: PassphraseFields;
  /** What is known about the destination as it is entered now. */
  #seen: BackupPlan | 'looking' | 'refused' | 'qubes refused' | undefined;
  /** Whether a later step has refused the place: the page still says so when it is shown again. */
  #isRefusedLater = false;
  /** Counts the changes, so that an answer about an earlier destination can be ignored. */
  #turn = 0;

  /** @param look returns the plan of a backup to a destination */
  constructor(
    frame: Frame,
    coffer: CofferProgram,
    look: (destination: Destination) => Promise<BackupPlan>,
  ) {
    this.#frame = frame;
    this.#look = look;
    const form = new Form();
    this.#place = new PlaceFields(form, coffer, {
      qube: _('_Target qube'),
      location: _('_Directory or command'),
      command: _('a command that receives the backup'),
    });
    this.#looking.add(this.#lookNow);
    this.#looking.add(this.#lookNote);
    for (const each of [this.#lookNow, this.#lookNote]) each.show();
    explain(this.#lookNow, this.#lookNote);
    form.row(this.#looking);
    form.row(this.#adopt);
    this.#adoptNote = form.note();
    form.row(this.#encrypt);
    this.#warning = form.note();
    form.row(this.#compress);
    this.#passphrase = new PassphraseFields(form, true);
    form.row(this.#save);
    const scrolled = new Gtk.ScrolledWindow({ expand: true });
    scrolled.add(form.widget);
    this.widget = scrolled;
    this.#place.changed = () => this.#placeChanged();
    this.#lookNow.connect('clicked', () => void this.lookAgain());
    this.#passphrase.changed = () => frame.refresh();
    this.#encrypt.connect('toggled', () => this.#warn());
    this.#adopt.connect('toggled', () => this.#offerAdoption());
  }

  get destination(): Destination {
    return {
      ...this.#place.place,
      encrypt: this.#encrypt.active,
      compress: this.#compress.active,
      passphrase: this.#passphrase.text,
      isNewSeries: this.#adopt.visible && !this.#adopt.active,
    };
  }

  /** Sets where backups are, and their passphrase. */
  set source({ passphrase, ...place }: Source) {
    this.#place.place = place;
    this.#passphrase.text = passphrase;
  }

  set settings({ encrypt, compress, ...place }: Omit<Settings, 'names'>) {
    this.#place.place = place;
    this.#encrypt.active = encrypt;
    this.#compress.active = compress;
  }

  /** Whether to save the settings for the next time. */
  get isToBeSaved(): boolean {
    return this.#save.active;
  }

  /** The series that the backup continues, as far as is known. */
  get series(): BackupPlan['series'] {
    return typeof this.#seen === 'object' ? this.#seen.series : null;
  }

  /** Whether to continue a series that is there, and that dom0 does not know. */
  get adopts(): boolean {
    return this.#adopt.visible && this.#adopt.active;
  }

  /** The device that the destination is on, if it is known. */
  get device(): Device | undefined {
    return this.#place.device;
  }

  /** Looks at the destination again, after something was done there. */
  async lookAgain(): Promise<void> {
    await this.#lookThere(++this.#turn);
  }

  /** Looks at the devices, the qubes and the destination, before the page is shown. */
  async prepare(): Promise<void> {
    await this.#place.look();
    // Other qubes may have been selected since.
    if (this.#missingPlace === undefined && !this.#isRefusedLater) await this.lookAgain();
    this.#isRefusedLater = false;
  }

  missing(): string | undefined {
    const missing = this.#missingPlace;
    if (missing !== undefined) return missing;
    if (this.#seen === undefined && this.#place.isThrough) {
      return _('Press “Look there” when the place is complete: then its command is run.');
    }
    if (this.#seen === 'qubes refused') {
      return _('These qubes cannot be backed up: see above, and go back to change the selection.');
    }
    if (this.#seen === 'refused') return _('A backup cannot go there: see above.');
    if (typeof this.#seen !== 'object') return _('Looking there …');
    return this.#passphrase.missing();
  }

  /** Shows, at the field, why it was refused. */
  refuse(field: string | undefined, sentence: string): void {
    if (field === 'passphrase') this.#passphrase.refuse(sentence);
    else {
      this.#isRefusedLater = true;
      this.#refuse('refused', sentence);
    }
  }

  #refuse(how: 'refused' | 'qubes refused', sentence: string): void {
    this.#seen = how;
    this.#place.say(sentence);
    this.#frame.refresh();
  }

  /** What still has to be entered about the place, in a sentence. */
  get #missingPlace(): string | undefined {
    return this.#place.missing(_('Enter a directory, or a command.'));
  }

  #placeChanged(): void {
    const turn = ++this.#turn;
    this.#seen = undefined;
    this.#looking.visible = this.#place.isThrough;
    this.#lookNow.sensitive = this.#missingPlace === undefined;
    this.#lookNote.label = this.#missingPlace ?? '';
    this.#offerAdoption();
    if (this.#missingPlace !== undefined || this.#place.isThrough) return;
    GLib.timeout_add(GLib.PRIORITY_DEFAULT, PAUSE, () => {
      if (turn === this.#turn) void this.#lookThere(turn);
      return GLib.SOURCE_REMOVE;
    });
  }

  async #lookThere(turn: number): Promise<void> {
    this.#seen = 'looking';
    this.#frame.refresh();
    try {
      const plan = await this.#look({ ...this.destination, isNewSeries: false });
      if (turn !== this.#turn) return;
      this.#seen = plan;
      this.#place.say(sentencesAbout(plan).join(' '));
      this.#offerAdoption();
    } catch (error) {
      if (turn !== this.#turn) return;
      const isAboutQubes = error instanceof CofferFailed && error.field === 'vms';
      const sentence = error instanceof CofferFailed ? error.message : String(error);
      this.#refuse(isAboutQubes ? 'qubes refused' : 'refused', sentence);
    }
    this.#frame.refresh();
  }

  /**
   * Offers to continue a series that dom0 does not know: this decides whether the passphrase is an existing or a new
   * one.
   */
  #offerAdoption(): void {
    const plan = typeof this.#seen === 'object' ? this.#seen : undefined;
    const unknown = plan?.unknown ?? null;
    this.#adopt.visible = unknown !== null;
    if (unknown !== null) {
      const label = _('C_ontinue the series of {time} found here');
      this.#adopt.label = fill(label, { time: timeText(unknown.last) });
    }
    const [kept, left] = [
      _(
        'dom0 does not know it. Its passphrase is needed once; then only what has changed is stored.',
      ),
      _('A new series begins next to it, and everything is stored.'),
    ];
    say(this.#adoptNote, unknown === null ? '' : this.#adopt.active ? kept : left);
    if (plan !== undefined) this.#passphrase.isNew = plan.series === null && !this.adopts;
    this.#frame.refresh();
  }

  #warn(): void {
    say(
      this.#warning,
      this.#encrypt.active
        ? ''
        : _(
            'The backup will not be encrypted: whoever has it can read it. The passphrase is then used only to verify it.',
          ),
    );
    this.#frame.refresh();
  }
}

/** What the user should know about the destination: problems, free space, what the backup continues from. */
function sentencesAbout({ freeBytes, startsVm, vm, series, problems }: BackupPlan): string[] {
  const ofPlace = problems.filter(({ field }) => field === 'location' || field === 'dest-vm');
  return [
    ...ofPlace.map(({ sentence }) => sentence),
    ...(freeBytes === null ? [] : [freeSentence(freeBytes)]),
    ...(startsVm ? [startSentence(vm)] : []),
    ...(series === null ? [] : [seriesSentence(series)]),
  ];
}
