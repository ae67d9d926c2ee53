import type Gtk from 'gi://Gtk?version=3.0';
import { CofferFailed, type CofferProgram, resultOf } from '../coffer-program.ts';
import { type ResultPage, failurePage } from '../result-page.ts';
import { ReviewPage } from '../review-page.ts';
import { doSeen } from '../seen-work.ts';
import { SelectionPage } from '../selection-page.ts';
import { _ } from '../texts.ts';
import type { BackupPlan, BackupResult, StatusResult } from '../told.ts';
import { verified, wordsOfPlace } from '../verification.ts';
import { Wizard } from '../wizard.ts';
import { backupPlanSentences } from './backup-plan-sentences.ts';
import { type NextStep, backupResultPage } from './backup-result-page.ts';
import { type Destination, DestinationPage } from './destination-page.ts';
import { keepSome } from './keeping.ts';
import { SavedSettings } from './saved-settings.ts';
import { StatePage, rowsOf } from './state-page.ts';

/** The window Back Up Qubes: what there is, which qubes, where to, the plan, and the work. */
export class BackupWindow {
  readonly #coffer: CofferProgram;
  readonly #saved: SavedSettings;
  readonly #wizard: Wizard;

  constructor(application: Gtk.Application, coffer: CofferProgram) {
    this.#coffer = coffer;
    this.#saved = new SavedSettings(coffer);
    this.#wizard = new Wizard(application, _('Back Up Qubes'));
  }

  /** Leads from page to page, until the work is done or has failed. */
  async show(): Promise<void> {
    this.#wizard.window.present();
    try {
      const status = (await resultOf(this.#coffer.start(['status']))) as StatusResult;
      await this.#prepare(status);
    } catch (error) {
      this.#wizard.show(failurePage(NOTHING, error), { close: _('_Close') });
    }
  }

  async #prepare(status: StatusResult): Promise<void> {
    const chosen = status.qubes.map(({ name }) => name);
    const title = _('Which qubes are to be backed up?');
    const selection = new SelectionPage(title, this.#wizard, rowsOf(status), chosen);
    const page = new DestinationPage(this.#wizard, this.#coffer, (to) =>
      this.#planFor(to, selection.selected),
    );
    const last = await this.#saved.last();
    const state = new StatePage(this.#wizard, status, last);
    const isDone = await this.#wizard.lead([
      () => this.#wizard.ask(state),
      () => (state.repeats ? Promise.resolve(true) : this.#wizard.ask(selection)),
      async () => {
        await this.#wizard.whileBusy(_('Looking for devices …'), () => page.prepare());
        if (state.repeats && last !== undefined) {
          page.settings = last;
          if (last.names.length > 0) selection.selected = last.names;
        }
        state.repeats = false;
        return this.#wizard.ask(page);
      },
      async () => (await this.#canBeOpened(page)) && this.#backUp(selection.selected, page),
    ]);
    if (!isDone) this.#wizard.window.close();
  }

  /** What a backup would be: nothing is done. Throws CofferFailed. */
  async #planFor(to: Destination, names: readonly string[]): Promise<BackupPlan> {
    let found: BackupPlan | undefined;
    await resultOf(this.#coffer.start(wordsFor(to, names)), {
      agree: (plan) => {
        found = plan as BackupPlan;
        return Promise.resolve(false);
      },
    });
    if (found === undefined) throw new Error(_('coffer told no plan.'));
    return found;
  }

  /** Whether the passphrase is that of the series that the backup goes on with; if not, the page says so. */
  async #canBeOpened(page: DestinationPage): Promise<boolean> {
    const { series, destination } = page;
    if (series === null) return true;
    const file = `${destination.location}/${series.file}`;
    const listing = this.#coffer.start(['list', ...wordsOfPlace(destination), '--', file]);
    try {
      const { passphrase } = destination;
      const look = async () => resultOf(listing, { passphrase });
      await this.#wizard.whileBusy(_('Checking the passphrase …'), look);
      return true;
    } catch (error) {
      if (!(error instanceof CofferFailed)) throw error;
      page.refuse(error.field, error.message);
      return false;
    }
  }

  /** Gives whether it was done; if not, the user wants to change something. */
  async #backUp(
    names: readonly string[],
    page: DestinationPage,
    isToBeSaved = page.isToBeSaved,
  ): Promise<boolean> {
    let isBegun = false;
    const { destination, series } = page;
    try {
      const toSave = isToBeSaved ? await this.#saved.optionsToSave() : [];
      const result = await doSeen(this.#wizard, this.#coffer, {
        words: wordsFor(destination, names, toSave),
        environment: this.#saved.environment,
        passphrase: destination.passphrase,
        title: _('Backing up'),
        stopQuestion: _('Stop the backup? What is not complete is removed.'),
        namesIn: (plan) => namesIn(plan as BackupPlan),
        review: (plan) => {
          const seen = plan as BackupPlan;
          // The passphrase was asked for as that of something else.
          if (seen.series?.file !== series?.file) return false;
          isBegun = true;
          const title = _('Is this what you want to back up?');
          return new ReviewPage(title, _('Back _up'), backupPlanSentences(seen));
        },
      });
      if (result === undefined) return false;
      await this.#saved.tidy();
      return await this.#showResult(result as BackupResult, page);
    } catch (error) {
      if (error instanceof CofferFailed && error.field !== undefined) {
        page.refuse(error.field, error.message);
        return false;
      }
      return await this.#wizard.conclude(failurePage(failureTitle(error, isBegun), error));
    }
  }

  /** Shows how it ended, until the window is closed, or something more is done. */
  async #showResult(result: BackupResult, page: DestinationPage): Promise<boolean> {
    const { destination } = page;
    const todo = await new Promise<NextStep>((resolve) => {
      this.#wizard.show(backupResultPage(result, resolve), { close: _('_Finish') });
    });
    if (todo.step === 'again') return this.#tryAgain(todo.names, page);
    const shown = async (): Promise<ResultPage | undefined> => {
      if (todo.step === 'keep') return keepSome(this.#wizard, this.#coffer, destination);
      const file = { ...destination, location: result.path ?? '' };
      return verified(this.#wizard, this.#coffer, file);
    };
    const outcome = await shown().catch((error: unknown) => failurePage(_('This failed'), error));
    return outcome === undefined || !(await this.#wizard.conclude(outcome, _('_Finish')))
      ? this.#showResult(result, page)
      : true;
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

function namesIn({ qubes, dom0Home }: BackupPlan): string[] {
  return [...qubes.map(({ name }) => name), ...(dom0Home === null ? [] : ['dom0'])];
}

function wordsFor(
  to: Destination,
  names: readonly string[],
  options: readonly string[] = [],
): string[] {
  return [
    ...['backup', ...wordsOfPlace(to), ...options],
    ...(to.encrypt ? [] : ['--no-encrypt']),
    ...(to.compress ? [] : ['-Z', 'none']),
    ...['--', to.location, ...names],
  ];
}
