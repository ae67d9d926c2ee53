import type Gtk from 'gi://Gtk?version=3.0';
import { ResultPage, failurePage } from '../result-page.ts';
import { runProgram } from '../run-program.ts';
import { _, fill } from '../texts.ts';
import { Wizard } from '../wizard.ts';

/** How many lines of the journal are shown. */
const MOST_LINES = 20;

/** Shows what the journal says about a timer's backup. */
export class FailureWindow {
  readonly #wizard: Wizard;
  readonly #profile: string;
  readonly #open: (words: readonly string[]) => void;

  /** @param open opens a window of coffer-gui, with these arguments */
  constructor(
    application: Gtk.Application,
    profile: string,
    open: (words: readonly string[]) => void,
  ) {
    this.#wizard = new Wizard(application, _('Back Up Qubes'));
    this.#profile = profile;
    this.#open = open;
  }

  async show(): Promise<void> {
    const unit = `coffer-backup@${this.#profile}.service`;
    const lines = ['--lines', String(MOST_LINES), '--output', 'cat', '--no-pager', '--quiet'];
    const title = fill(_('What became of the backup with the profile {profile}'), {
      profile: this.#profile,
    });
    try {
      const said = await runProgram(['journalctl', '--unit', unit, ...lines]);
      const sentences = said.trim() === '' ? [_('The journal says nothing.')] : said.split('\n');
      const backUp = { label: _('Back _up…'), pressed: () => this.#open(['backup']) };
      const page = new ResultPage(title, 'bad', sentences, [backUp]);
      this.#wizard.show(page, { close: _('_Close') });
    } catch (error) {
      this.#wizard.show(failurePage(title, error), { close: _('_Close') });
    }
  }
}
