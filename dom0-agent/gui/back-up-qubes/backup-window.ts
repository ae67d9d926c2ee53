import type Gtk from 'gi://Gtk?version=3.0';
import type { CofferProcess } from '../coffer-process.ts';
import { CofferFailed, type CofferProgram, resultIn } from '../coffer-program.ts';
import { ProgressPage } from '../progress-page.ts';
import { ResultPage } from '../result-page.ts';
import { _, fill, plural } from '../texts.ts';
import type { BackupPlan, BackupResult, Event, QubeHere, StatusResult } from '../told.ts';
import { Wizard } from '../wizard.ts';
import { DestinationPage } from './destination-page.ts';
import { ReviewPage } from './review-page.ts';
import { SelectionPage } from './selection-page.ts';
import { StatePage, rowsOf } from './state-page.ts';

/** The window Back Up Qubes: what there is, which qubes, where to, the plan, and the work. */
export class BackupWindow {
  readonly #coffer: CofferProgram;
  readonly #wizard: Wizard;
  #selection: SelectionPage | undefined;
  #destination: DestinationPage | undefined;

  constructor(application: Gtk.Application, coffer: CofferProgram) {
    this.#coffer = coffer;
    this.#wizard = new Wizard(application, _('Back Up Qubes'));
  }

  async show(): Promise<void> {
    this.#wizard.window.present();
    try {
      const status = (await this.#coffer.resultOf(['status'])) as StatusResult;
      this.#showState(status);
    } catch (error) {
      this.#showFailure(error);
    }
  }

  #showState(status: StatusResult): void {
    const chosen = status.qubes.map(({ name }) => name);
    const rows = rowsOf(status);
    this.#selection = new SelectionPage(this.#wizard, rows, chosen);
    this.#destination = new DestinationPage(this.#wizard, targetsIn(rows));
    this.#wizard.show(new StatePage(status), { next: () => this.#showSelection(status) });
  }

  #showSelection(status: StatusResult): void {
    if (this.#selection === undefined) return;
    this.#wizard.show(this.#selection, {
      back: () => this.#showState(status),
      next: () => this.#showDestination(status),
    });
  }

  #showDestination(status: StatusResult): void {
    if (this.#destination === undefined) return;
    this.#wizard.show(this.#destination, {
      back: () => this.#showSelection(status),
      next: () => void this.#backUp(status),
    });
  }

  /** Starts coffer: it plans; the user agrees; it backs up. */
  async #backUp(status: StatusResult): Promise<void> {
    const names = this.#selection?.selected ?? [];
    const progress = new ProgressPage(_('Backing up'), names);
    const running = this.#coffer.start(this.#words(names));
    this.#wizard.show(progress, { close: _('_Close') });
    let last: Event | undefined;
    try {
      for await (const event of running) {
        last = event;
        progress.tell(event);
        if (event.event === 'plan') this.#review(event as BackupPlan, running, progress, status);
        else if (event.event === 'question' && event.question !== 'confirm') {
          await running.answer(this.#destination?.destination.passphrase ?? '');
        }
      }
      this.#showResult(resultIn(last, await running.ended()) as BackupResult);
    } catch (error) {
      this.#showFailure(error, status);
    }
  }

  #words(names: readonly string[]): string[] {
    const to = this.#destination?.destination;
    if (to === undefined) return [];
    return [
      'backup',
      ...(to.vm === 'dom0' ? [] : ['-d', to.vm]),
      ...(to.isCommand ? ['--command'] : []),
      ...(to.encrypt ? [] : ['--no-encrypt']),
      ...(to.compress ? [] : ['-Z', 'none']),
      ...['--', to.location, ...names],
    ];
  }

  #review(
    plan: BackupPlan,
    running: CofferProcess,
    progress: ProgressPage,
    status: StatusResult,
  ): void {
    this.#wizard.show(new ReviewPage(plan), {
      back: () => {
        running.interrupt();
        this.#showDestination(status);
      },
      next: () => {
        this.#wizard.show(progress, { close: _('_Close') });
        void running.answer('yes');
      },
    });
  }

  #showResult({ ok, qubes, location, warnings }: BackupResult): void {
    const failed = qubes.filter(({ result }) => result === 'failed');
    const title = ok ? _('The backup is complete') : _('The backup is not complete');
    const missing = fill(
      plural('{n} qube is not in this backup.', '{n} qubes are not in this backup.', failed.length),
      { n: failed.length },
    );
    this.#wizard.show(
      new ResultPage(title, ok, [
        fill(_('It is in {location}.'), { location }),
        ...(failed.length === 0 ? [] : [missing]),
        ...failed.map(({ name, failure }) => `${name}: ${failure ?? ''}`),
        ...warnings,
      ]),
      { close: _('_Finish') },
    );
  }

  /** An error at a field leads back to it; any other is a page of its own. */
  #showFailure(error: unknown, status?: StatusResult): void {
    const failure = error instanceof CofferFailed ? error : undefined;
    const sentence = error instanceof Error ? error.message : String(error);
    if (failure?.error?.field !== null && failure?.error !== undefined && status !== undefined) {
      this.#destination?.refuse(sentence);
      this.#showDestination(status);
      return;
    }
    const page = new ResultPage(_('Nothing was backed up'), false, [sentence]);
    this.#wizard.show(page, {
      ...(status === undefined ? {} : { back: () => this.#showDestination(status) }),
      close: _('_Close'),
    });
  }
}

/** Where a backup can go: running qubes first, dom0 last. */
function targetsIn(rows: readonly QubeHere[]): string[] {
  const rank = (row: QubeHere): number => (row.class === 'AdminVM' ? 2 : row.running ? 0 : 1);
  return rows
    .filter((row) => row.class !== 'TemplateVM')
    .sort((one, other) => rank(one) - rank(other) || (one.name < other.name ? -1 : 1))
    .map(({ name }) => name);
}
