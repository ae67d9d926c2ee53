import Gtk from 'gi://Gtk?version=3.0';
import { check, say, sentenceLabel } from '../form.ts';
import { _, fill } from '../texts.ts';
import type { Frame, Page } from '../wizard.ts';

/** A check box, and the command's option that it means. */
type Choice = readonly [Gtk.CheckButton, string];

/** A selected VM that refers to something that is missing. */
export interface Lacking {
  readonly name: string;
  /** The name of what is missing. */
  readonly lacks: string;
}

/** How to restore: each choice with a sentence that explains it. */
export class OptionsPage implements Page {
  readonly title = _('How do you want to restore them?');
  readonly next = _('_Next');
  readonly widget = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
  readonly #choices: readonly Choice[];
  readonly #ignoresMissing: Gtk.CheckButton;
  readonly #lacking: () => Lacking | undefined;
  readonly #refused = sentenceLabel();

  /** @param lacking returns a selected VM that lacks something for which no replacement is chosen */
  constructor(frame: Frame, lacking: () => Lacking | undefined) {
    this.#lacking = lacking;
    const explained = (label: string, words: string): Gtk.CheckButton => {
      const box = check(label);
      const sentence = sentenceLabel(words);
      sentence.marginStart = 24;
      this.widget.add(box);
      this.widget.add(sentence);
      return box;
    };
    const choice = (label: string, words: string, option: string): Choice => [
      explained(label, words),
      option,
    ];
    const ignoreMissing = choice(
      _('_Ignore missing'),
      _('A qube whose net qube or disposable template is missing here gets the default instead.'),
      '--ignore-missing',
    );
    [this.#ignoresMissing] = ignoreMissing;
    this.#choices = [
      ignoreMissing,
      choice(
        _('Ignore _username mismatch'),
        _("dom0's home is restored even if its user has another name here."),
        '--ignore-username-mismatch',
      ),
      choice(_('_Skip dom0'), _("dom0's home is not restored."), '--skip-dom0-home'),
      choice(
        _('_Distrust settings'),
        _(
          "For the backup of a system that may have been compromised, like the paranoid mode of Qubes' own tools: data is restored, but no setting that could give a qube influence.",
        ),
        '--distrust-settings',
      ),
    ];
    this.#refused.noShowAll = true;
    this.widget.add(this.#refused);
    for (const [box] of this.#choices) {
      box.connect('toggled', () => {
        say(this.#refused, '');
        frame.refresh();
      });
    }
  }

  missing(): string | undefined {
    const lacking = this.#lacking();
    if (lacking === undefined || this.#ignoresMissing.active) return undefined;
    const sentence = _(
      '{name}, which {qube} needs, is missing: go back and choose another one, or choose “Ignore missing”.',
    );
    return fill(sentence, { name: lacking.lacks, qube: lacking.name });
  }

  /** Shows why the choices were refused, until one is changed. */
  refuse(sentence: string): void {
    say(this.#refused, sentence);
  }

  /** The options of the command. */
  get options(): string[] {
    return this.#choices.flatMap(([box, option]) => (box.active ? [option] : []));
  }
}
