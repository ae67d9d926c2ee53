import type Gtk from 'gi://Gtk?version=3.0';
import { CofferFailed, type CofferProgram, resultOf } from '../coffer-program.ts';
import { check } from '../form.ts';
import { failurePage } from '../result-page.ts';
import { ReviewPage } from '../review-page.ts';
import { runWithProgress } from '../run-with-progress.ts';
import { SelectionPage } from '../selection-page.ts';
import type { Source } from '../source-page.ts';
import { _ } from '../texts.ts';
import type { BackupPlan, BackupResult, StatusResult } from '../coffer-events.ts';
import { Wizard } from '../wizard.ts';
import { AfterBackup } from './after-backup.ts';
import { backupWords, namesIn, planFor } from './backup-command.ts';
import { backupPlanSentences } from './backup-plan-sentences.ts';
import { DestinationPage } from './destination-page.ts';
import { keepSomewhere } from './keeping.ts';
import { openOtherBackups, opensSeries } from './opening-series.ts';
import { SavedSettings, type Settings } from './saved-settings.ts';
import { StatePage, rowsOf } from './state-page.ts';

/** The window Back Up Qubes: the existing backups, which qubes, the destination, the plan, and the progress. */
export class BackupWindow {
  readonly #coffer: CofferProgram;
  readonly #saved: SavedSettings;
  readonly #wizard: Wizard;

  constructor(application: Gtk.Application, coffer: CofferProgram) {
    this.#coffer = coffer;
    this.#saved = new SavedSettings(coffer);
    this.#wizard = new Wizard(application, _('Back Up Qubes'));
  }

  /** Leads from page to page, until the backup is done or has failed. */
  async show(): Promise<void> {
    this.#wizard.window.present();
    try {
      let opened: Source | undefined;
      do opened = await this.#leadThrough(opened);
      while (opened !== undefined);
      this.#wizard.window.close();
    } catch (error) {
      this.#wizard.show(failurePage(NOTHING, error), { close: _('_Close') });
    }
  }

  /**
   * Returns where other backups are, which the user has opened: then the pages begin again.
   *
   * @param opened the same, of the last time
   */
  async #leadThrough(opened: Source | undefined): Promise<Source | undefined> {
    const status = (await resultOf(this.#coffer.start(['status']))) as StatusResult;
    const chosen = status.qubes.map(({ name }) => name);
    const title = _('Which qubes do you want to back up?');
    const selection = new SelectionPage(title, this.#wizard, rowsOf(status), chosen);
    const page = new DestinationPage(this.#wizard, this.#coffer, (to) =>
      planFor(this.#coffer, to, selection.selected),
    );
    const last = await this.#saved.last();
    const state = new StatePage(this.#wizard, status, last, opened);
    let found: Source | undefined;
    let place = opened;
    await this.#wizard.lead([
      async () => {
        found = await this.#begin(state, last);
        return found === undefined;
      },
      () => (state.wish === 'repeat' ? Promise.resolve(true) : this.#wizard.ask(selection)),
      async () => {
        await this.#wizard.whileBusy(_('Looking for devices …'), () => page.prepare());
        if (place !== undefined) page.source = place;
        place = undefined;
        if (state.wish === 'repeat' && last !== undefined) {
          page.settings = last;
          if (last.names.length > 0) selection.selected = last.names;
        }
        state.wish = 'choose';
        return this.#wizard.ask(page);
      },
      async () =>
        (await opensSeries(this.#wizard, this.#coffer, page)) &&
        this.#backUp(selection.selected, page, page.isToBeSaved),
    ]);
    return found;
  }

  /** The first page, and what leads back to it. Returns where other backups are, if the user has opened some. */
  async #begin(state: StatePage, last: Settings | undefined): Promise<Source | undefined> {
    for (;;) {
      await this.#wizard.ask(state);
      const { wish } = state;
      if (wish === 'choose' || wish === 'repeat') return undefined;
      state.wish = 'choose';
      if (wish === 'forget') await keepSomewhere(this.#wizard, this.#coffer, last);
      else {
        const opened = await openOtherBackups(this.#wizard, this.#coffer);
        if (opened !== undefined) return opened;
      }
    }
  }

  /** Returns whether the backup was made; if not, the user wants to change something. */
  async #backUp(
    names: readonly string[],
    page: DestinationPage,
    isToBeSaved: boolean,
  ): Promise<boolean> {
    let isBegun = false;
    const { destination, series } = page;
    const turnsOff = check(
      _('_Turn off the computer afterwards, if the backup is complete and checked'),
    );
    try {
      const toSave = isToBeSaved ? await this.#saved.optionsToSave() : [];
      const told = await runWithProgress(this.#wizard, this.#coffer, {
        words: backupWords(destination, names, toSave),
        environment: this.#saved.environment,
        passphrase: destination.passphrase,
        title: _('Backing up'),
        afterwards: turnsOff,
        stopQuestion: _(
          'Stop the backup? After a long one, the next backup continues from what was sent.',
        ),
        namesIn: (plan) => namesIn(plan as BackupPlan),
        review: (plan, warnings) => {
          const seen = plan as BackupPlan;
          // The user entered a passphrase for another series.
          if (seen.series?.file !== series?.file) return false;
          isBegun = true;
          const title = _('Is this what you want to back up?');
          const lines = [...warnings, ...backupPlanSentences(seen)];
          return new ReviewPage(title, _('Back _up'), lines);
        },
      });
      if (told === undefined) return false;
      await this.#saved.tidy();
      const result = told as BackupResult;
      const isToTurnOff = turnsOff.active && result.ok && result.checked;
      const after = new AfterBackup(this.#wizard, this.#coffer, page, result, isToTurnOff);
      return await this.#tryAgain(await after.show(), page);
    } catch (error) {
      if (error instanceof CofferFailed && error.field !== undefined) {
        page.refuse(error.field, error.message);
        return false;
      }
      return await this.#wizard.conclude(failurePage(failureTitle(error, isBegun), error));
    }
  }

  async #tryAgain(names: readonly string[], page: DestinationPage): Promise<boolean> {
    await page.prepare();
    return this.#backUp(names, page, false);
  }
}

const NOTHING = _('Nothing was backed up');

function failureTitle(error: unknown, isBegun: boolean): string {
  if (!isBegun) return NOTHING;
  const wasStopped = error instanceof CofferFailed && error.wasInterrupted;
  return wasStopped ? _('The backup was stopped') : _('The backup failed');
}
