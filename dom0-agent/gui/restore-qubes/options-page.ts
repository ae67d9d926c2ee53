import Gtk from 'gi://Gtk?version=3.0';
import { check, sentenceLabel } from '../form.ts';
import { _ } from '../texts.ts';
import type { Page } from '../wizard.ts';

/** A check box, and the option of the command that it stands for. */
type Choice = readonly [Gtk.CheckButton, string];

/** How to restore: each choice with a sentence that explains it. */
export class OptionsPage implements Page {
  readonly title = _('How are they to be restored?');
  readonly next = _('_Next');
  readonly widget = new Gtk.Box({ orientation: Gtk.Orientation.VERTICAL, spacing: 6 });
  readonly #choices: readonly Choice[];

  constructor() {
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
    this.#choices = [
      choice(
        _('_Ignore missing'),
        _('A qube whose net qube or disposable template is missing here gets the default instead.'),
        '--ignore-missing',
      ),
      choice(
        _('Ignore _username mismatch'),
        _("dom0's home is restored although its user has another name here."),
        '--ignore-username-mismatch',
      ),
      choice(_('_Skip dom0'), _("dom0's home is not restored."), '--skip-dom0-home'),
      choice(
        _('_Distrust settings'),
        _(
          "For the backup of a system that may have been compromised, as the paranoid mode of Qubes' own tools is: data is restored, but no setting that could give a qube influence.",
        ),
        '--distrust-settings',
      ),
    ];
  }

  /** The options of the command. */
  get options(): string[] {
    return this.#choices.flatMap(([box, option]) => (box.active ? [option] : []));
  }
}
