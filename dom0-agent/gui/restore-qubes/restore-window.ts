import type Gtk from 'gi://Gtk?version=3.0';
import { CofferFailed, type CofferProgram, resultOf } from '../coffer-program.ts';
import { ProgressPage } from '../progress-page.ts';
import { ResultPage, failurePage } from '../result-page.ts';
import { ReviewPage } from '../review-page.ts';
import { SelectionPage } from '../selection-page.ts';
import { targetsIn } from '../targets.ts';
import { _ } from '../texts.ts';
import type {
  BackupContents,
  BackupsInDirectory,
  RestorePlan,
  RestoreResult,
  StatusResult,
} from '../told.ts';
import { Wizard } from '../wizard.ts';
import { BackupsPage } from './backups-page.ts';
import { contentRows } from './content-rows.ts';
import { OptionsPage } from './options-page.ts';
import { restorePlanSentences } from './restore-plan-sentences.ts';
import { type Source, SourcePage } from './source-page.ts';

/** The window Restore Qubes: where the backup is, which of them, which qubes, the plan, and the work. */
export class RestoreWindow {
  readonly #coffer: CofferProgram;
  readonly #wizard: Wizard;

  constructor(application: Gtk.Application, coffer: CofferProgram) {
    this.#coffer = coffer;
    this.#wizard = new Wizard(application, _('Restore Qubes'));
  }

  /** Leads from page to page, until the work is done or has failed. */
  async show(): Promise<void> {
    this.#wizard.window.present();
    try {
      const status = (await resultOf(this.#coffer.start(['status']))) as StatusResult;
      const vms = targetsIn([...status.qubes, ...status.excluded]);
      const page = new SourcePage(this.#wizard, vms);
      const isDone = await this.#wizard.lead([
        () => this.#wizard.ask(page),
        () => this.#fromSource(page),
      ]);
      if (!isDone) this.#wizard.window.close();
    } catch (error) {
      this.#wizard.show(failurePage(_('Nothing was restored'), error), { close: _('_Close') });
    }
  }

  /** What can be known of the source only by looking there; an error at a field leads back to it. */
  async #fromSource(page: SourcePage): Promise<boolean> {
    try {
      const found = await this.#list(page.source);
      if (!('backups' in found)) return await this.#fromBackup(page.source, found);
      const backups = new BackupsPage(this.#wizard, found.backups);
      return await this.#wizard.lead([
        () => this.#wizard.ask(backups),
        async () => {
          const location = `${page.source.location}/${backups.chosen ?? ''}`;
          const source = { ...page.source, location };
          return this.#fromBackup(source, (await this.#list(source)) as BackupContents);
        },
      ]);
    } catch (error) {
      if (!(error instanceof CofferFailed) || error.field === undefined) throw error;
      page.refuse(error.field, error.message);
      return false;
    }
  }

  async #fromBackup(source: Source, contents: BackupContents): Promise<boolean> {
    const title = _('Which qubes are to be restored?');
    const selection = new SelectionPage(title, this.#wizard, contentRows(contents));
    const options = new OptionsPage();
    return this.#wizard.lead([
      () => this.#wizard.ask(selection),
      () => this.#wizard.ask(options),
      () => this.#restore(source, options.options, selection.selected),
    ]);
  }

  async #restore(
    source: Source,
    options: readonly string[],
    names: readonly string[],
  ): Promise<boolean> {
    const progress = new ProgressPage(_('Restoring'), names);
    const running = this.#coffer.start(words('restore', source, options, names));
    const work = {
      stop: () => running.interrupt(),
      stopQuestion: _('Stop restoring? Qubes that are not complete are removed.'),
    };
    this.#wizard.showWork(progress, work);
    const result = await resultOf(running, {
      passphrase: source.passphrase,
      tell: (event) => progress.tell(event),
      agree: async (plan) => {
        const sentences = restorePlanSentences(plan as RestorePlan);
        const title = _('Is this what you want to restore?');
        const agreed = await this.#wizard.ask(new ReviewPage(title, _('_Restore'), sentences));
        this.#wizard.showWork(progress, work);
        return agreed;
      },
    });
    if (result === undefined) return false;
    this.#wizard.show(resultPage(result as RestoreResult), { close: _('_Finish') });
    return true;
  }

  async #list(source: Source): Promise<BackupContents | BackupsInDirectory> {
    const { passphrase } = source;
    const result = await resultOf(this.#coffer.start(words('list', source)), { passphrase });
    return result as BackupContents | BackupsInDirectory;
  }
}

function words(
  command: string,
  from: Source,
  options: readonly string[] = [],
  names: readonly string[] = [],
): string[] {
  return [
    command,
    ...(from.vm === 'dom0' ? [] : ['-d', from.vm]),
    ...(from.isCommand ? ['--command'] : []),
    ...options,
    ...['--', from.location, ...names],
  ];
}

function resultPage({ ok, qubes, warnings }: RestoreResult): ResultPage {
  return new ResultPage(ok ? _('All is restored') : _('Not all is restored'), ok, [
    ...qubes.map(({ name, result, remarks }) => [`${name}: ${result}`, ...remarks].join('. ')),
    ...warnings,
  ]);
}
