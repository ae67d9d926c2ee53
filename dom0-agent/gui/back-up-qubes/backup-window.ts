import type Gtk from 'gi://Gtk?version=3.0';
import { CofferFailed, type CofferProgram, resultOf } from '../coffer-program.ts';
import { ProgressPage } from '../progress-page.ts';
import { ResultPage, failurePage } from '../result-page.ts';
import { ReviewPage } from '../review-page.ts';
import { SelectionPage } from '../selection-page.ts';
import { targetsIn } from '../targets.ts';
import { _, fill, plural } from '../texts.ts';
import type { BackupPlan, BackupResult, StatusResult } from '../told.ts';
import { Wizard } from '../wizard.ts';
import { backupPlanSentences } from './backup-plan-sentences.ts';
import { type Destination, DestinationPage } from './destination-page.ts';
import { StatePage, rowsOf } from './state-page.ts';

/** The window Back Up Qubes: what there is, which qubes, where to, the plan, and the work. */
export class BackupWindow {
  readonly #coffer: CofferProgram;
  readonly #wizard: Wizard;

  constructor(application: Gtk.Application, coffer: CofferProgram) {
    this.#coffer = coffer;
    this.#wizard = new Wizard(application, _('Back Up Qubes'));
  }

  /** Leads from page to page, until the work is done or has failed. */
  async show(): Promise<void> {
    this.#wizard.window.present();
    try {
      const status = (await resultOf(this.#coffer.start(['status']))) as StatusResult;
      await this.#prepare(status);
    } catch (error) {
      this.#wizard.show(failurePage(_('Nothing was backed up'), error), { close: _('_Close') });
    }
  }

  async #prepare(status: StatusResult): Promise<void> {
    const rows = rowsOf(status);
    const chosen = status.qubes.map(({ name }) => name);
    const title = _('Which qubes are to be backed up?');
    const selection = new SelectionPage(title, this.#wizard, rows, chosen);
    const destination = new DestinationPage(this.#wizard, targetsIn(rows));
    const isDone = await this.#wizard.lead([
      () => this.#wizard.ask(new StatePage(status)),
      () => this.#wizard.ask(selection),
      () => this.#wizard.ask(destination),
      () => this.#backUp(selection.selected, destination),
    ]);
    if (!isDone) this.#wizard.window.close();
  }

  /** Gives whether it was done; if not, the user wants to change something. */
  async #backUp(names: readonly string[], page: DestinationPage): Promise<boolean> {
    const progress = new ProgressPage(_('Backing up'), names);
    const { passphrase } = page.destination;
    const running = this.#coffer.start(wordsFor(page.destination, names));
    const work = {
      stop: () => running.interrupt(),
      stopQuestion: _('Stop the backup? What is not complete is removed.'),
    };
    this.#wizard.showWork(progress, work);
    try {
      const result = await resultOf(running, {
        passphrase,
        tell: (event) => progress.tell(event),
        agree: async (plan) => {
          const sentences = backupPlanSentences(plan as BackupPlan);
          const title = _('Is this what you want to back up?');
          const review = new ReviewPage(title, _('Back _up'), sentences);
          const agreed = await this.#wizard.ask(review);
          this.#wizard.showWork(progress, work);
          return agreed;
        },
      });
      if (result !== undefined) this.#wizard.show(resultPage(result as BackupResult), FINISH);
      return result !== undefined;
    } catch (error) {
      if (!(error instanceof CofferFailed) || error.field === undefined) throw error;
      page.refuse(error.message);
      return false;
    }
  }
}

const FINISH = { close: _('_Finish') };

function wordsFor(to: Destination, names: readonly string[]): string[] {
  return [
    'backup',
    ...(to.vm === 'dom0' ? [] : ['-d', to.vm]),
    ...(to.isCommand ? ['--command'] : []),
    ...(to.encrypt ? [] : ['--no-encrypt']),
    ...(to.compress ? [] : ['-Z', 'none']),
    ...['--', to.location, ...names],
  ];
}

function resultPage({ ok, qubes, location, warnings }: BackupResult): ResultPage {
  const failed = qubes.filter(({ result }) => result === 'failed');
  const count = failed.length;
  const missing = fill(
    plural('{n} qube is not in this backup.', '{n} qubes are not in this backup.', count),
    { n: count },
  );
  return new ResultPage(ok ? _('The backup is complete') : _('The backup is not complete'), ok, [
    fill(_('It is in {location}.'), { location }),
    ...(count === 0 ? [] : [missing]),
    ...failed.map(({ name, failure }) => `${name}: ${failure ?? ''}`),
    ...warnings,
  ]);
}
