import type Gtk from 'gi://Gtk?version=3.0';
import { CofferFailed, type CofferProgram, resultOf } from '../coffer-program.ts';
import { ResultPage, failurePage } from '../result-page.ts';
import { ReviewPage } from '../review-page.ts';
import { runWithProgress } from '../run-with-progress.ts';
import { _ } from '../texts.ts';
import { type Source, SourcePage } from '../source-page.ts';
import type {
  BackupContents,
  BackupsInDirectory,
  RestorePlan,
  RestoreResult,
  StatusResult,
} from '../coffer-events.ts';
import { fileThere, outcomeSentences, verified, wordsOfPlace } from '../verification.ts';
import { Wizard } from '../wizard.ts';
import { BackupsPage } from './backups-page.ts';
import { OptionsPage } from './options-page.ts';
import { restorePlanSentences } from './restore-plan-sentences.ts';
import { QubesPage } from './qubes-page.ts';
import { SystemHere } from './system-here.ts';

/** The window Restore Qubes: where the backups are, which backup, which qubes, the plan, and the progress. */
export class RestoreWindow {
  readonly #coffer: CofferProgram;
  readonly #wizard: Wizard;

  constructor(application: Gtk.Application, coffer: CofferProgram) {
    this.#coffer = coffer;
    this.#wizard = new Wizard(application, _('Restore Qubes'));
  }

  /** Leads from page to page, until the restore is done or has failed. */
  async show(): Promise<void> {
    this.#wizard.window.present();
    try {
      const texts = {
        title: _('Where is the backup?'),
        location: _('_Directory, file or command'),
        command: _('a command that outputs the backup'),
        enter: _('Enter a directory, a file or a command.'),
      };
      const page = new SourcePage(this.#wizard, this.#coffer, texts, true);
      await page.prepare();
      const isDone = await this.#wizard.lead([
        () => this.#wizard.ask(page),
        () => this.#fromSource(page),
      ]);
      if (!isDone) this.#wizard.window.close();
    } catch (error) {
      this.#wizard.show(failurePage(NOTHING, error), { close: _('_Close') });
    }
  }

  /** Looks at the source, and goes on from there; an error is shown at the field that it is about. */
  async #fromSource(page: SourcePage): Promise<boolean> {
    const { source } = page;
    try {
      const found = await this.#wizard.whileBusy(_('Looking there …'), () => this.#list(source));
      if (!('backups' in found)) return await this.#fromBackup(source, found);
      const backups = new BackupsPage(this.#wizard, found);
      return await this.#wizard.lead([
        () => this.#wizard.ask(backups),
        () => this.#fromDirectory(source, backups),
      ]);
    } catch (error) {
      if (!(error instanceof CofferFailed)) throw error;
      page.refuse(error.field, error.message);
      return false;
    }
  }

  /** Opens a backup in a directory; if that fails, the user can go back and choose another one. */
  async #fromDirectory(directory: Source, backups: BackupsPage): Promise<boolean> {
    const location = fileThere(directory.location, backups.chosen ?? '');
    const source = { ...directory, location };
    try {
      const look = () => this.#list(source);
      const contents = await this.#wizard.whileBusy(_('Opening the backup …'), look);
      return await this.#fromBackup(source, contents as BackupContents);
    } catch (error) {
      if (!(error instanceof CofferFailed) || error.field === 'passphrase') throw error;
      return await this.#wizard.conclude(failurePage(_('This backup cannot be opened'), error));
    }
  }

  async #fromBackup(source: Source, contents: BackupContents): Promise<boolean> {
    const status = (await resultOf(this.#coffer.start(['status']))) as StatusResult;
    const here = new SystemHere(status);
    const qubes = new QubesPage(this.#wizard, contents, here);
    const options = new OptionsPage(this.#wizard, () => qubes.lacking);
    return this.#wizard.lead([
      () => this.#wizard.ask(qubes),
      async () => {
        if (qubes.verifiesOnly) return this.#verify(source, qubes.selected);
        if (!(await this.#isPossible(source, qubes))) return false;
        return this.#wizard.lead([
          () => this.#wizard.ask(options),
          () => this.#restore(source, qubes, options),
        ]);
      },
    ]);
  }

  /** Whether coffer accepts the choices for the VMs; if not, their rows say why. */
  async #isPossible(source: Source, qubes: QubesPage): Promise<boolean> {
    const leniently = ['--ignore-missing', '--ignore-username-mismatch'];
    const words = restoreWords(source, qubes, leniently);
    const { passphrase } = source;
    const looking = this.#coffer.start(words);
    const look = () => resultOf(looking, { passphrase, agree: () => Promise.resolve(false) });
    try {
      await this.#wizard.whileBusy(_('Checking whether this is possible …'), look);
      return true;
    } catch (error) {
      if (!(error instanceof CofferFailed) || error.field === 'passphrase') throw error;
      qubes.refuse(error.vm, error.message);
      return false;
    }
  }

  async #verify(source: Source, names: readonly string[]): Promise<boolean> {
    const check = () => verified(this.#wizard, this.#coffer, source, names);
    return this.#showOutcome(check, () => _('The backup was not checked'));
  }

  async #restore(source: Source, qubes: QubesPage, options: OptionsPage): Promise<boolean> {
    const words = restoreWords(source, qubes, options.options);
    let isPlanned = false;
    const restored = async (): Promise<ResultPage | undefined> => {
      try {
        return await this.#restored(source, words, () => (isPlanned = true));
      } catch (error) {
        // A refusal before there is a plan is about these options: coffer has already accepted the qubes.
        if (isPlanned || !(error instanceof CofferFailed) || !error.isRefusal) throw error;
        options.refuse(error.message);
        return undefined;
      }
    };
    return this.#showOutcome(restored, titleOf);
  }

  /** Returns whether the work was done; if not, the user wants to change something. */
  async #showOutcome(
    work: () => Promise<ResultPage | undefined>,
    failureTitle: (error: unknown) => string,
  ): Promise<boolean> {
    try {
      const page = await work();
      if (page === undefined) return false;
      this.#wizard.show(page, { close: _('_Finish') });
      return true;
    } catch (error) {
      if (error instanceof CofferFailed && error.field === 'passphrase') throw error;
      return await this.#wizard.conclude(failurePage(failureTitle(error), error));
    }
  }

  async #restored(
    source: Source,
    words: readonly string[],
    planned: () => void,
  ): Promise<ResultPage | undefined> {
    const result = await runWithProgress(this.#wizard, this.#coffer, {
      words,
      passphrase: source.passphrase,
      title: _('Restoring'),
      stopQuestion: _('Stop restoring? Incomplete qubes are removed.'),
      namesIn: (plan) => newNamesIn(plan as RestorePlan),
      review: (plan, warnings) => {
        planned();
        const lines = [...warnings, ...restorePlanSentences(plan as RestorePlan)];
        return new ReviewPage(_('Is this what you want to restore?'), _('_Restore'), lines);
      },
    });
    return result === undefined ? undefined : resultPage(result as RestoreResult);
  }

  async #list(source: Source): Promise<BackupContents | BackupsInDirectory> {
    const { passphrase, location } = source;
    const listing = this.#coffer.start(['list', ...wordsOfPlace(source), '--', location]);
    return (await resultOf(listing, { passphrase })) as BackupContents | BackupsInDirectory;
  }
}

const NOTHING = _('Nothing was restored');

function restoreWords(source: Source, qubes: QubesPage, options: readonly string[]): string[] {
  return [
    ...['restore', ...wordsOfPlace(source), ...options, ...qubes.options],
    ...['--', source.location, ...qubes.selected],
  ];
}

function titleOf(error: unknown): string {
  const wasStopped = error instanceof CofferFailed && error.wasInterrupted;
  return wasStopped ? _('The restore was stopped') : _('The restore failed');
}

/** The names in the events of a restore, which are the new ones, in the order of creation. */
function newNamesIn({ qubes, dom0Home, dom0Paths }: RestorePlan): string[] {
  const hasDom0 = dom0Home !== null || dom0Paths !== null;
  return [...qubes.map(({ restoredAs }) => restoredAs), ...(hasDom0 ? ['dom0'] : [])];
}

function resultPage({ ok, qubes, advice, warnings }: RestoreResult): ResultPage {
  const title = ok ? _('Everything was restored') : _('Not everything was restored');
  const next = advice ? [advice] : [];
  const sentences = [...outcomeSentences(qubes), ...warnings, ...next];
  return new ResultPage(title, ok ? 'good' : 'bad', sentences);
}
