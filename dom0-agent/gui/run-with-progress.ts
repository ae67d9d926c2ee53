import type Gtk from 'gi://Gtk?version=3.0';
import { type CofferProgram, resultOf } from './coffer-program.ts';
import { ProgressPage } from './progress-page.ts';
import { ReviewPage } from './review-page.ts';
import { _ } from './texts.ts';
import type { PlanEvent, ResultEvent } from './coffer-events.ts';
import type { Page, Wizard } from './wizard.ts';

/** A coffer command that runs while the user watches. */
export interface WatchedCommand {
  /** The command and its arguments. */
  readonly words: readonly string[];
  /** Variables for coffer, in addition to those of the window. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly passphrase: string;
  /** The title of the progress page. */
  readonly title: string;
  /** Lets the user choose, during the work, what to do afterwards. */
  readonly afterwards?: Gtk.Widget;
  /** The question before it is stopped, which says what will happen then. */
  readonly stopQuestion: string;
  /** The page on which the user reviews the plan, and earlier warnings; or without a page, whether to carry it out. */
  readonly review: (plan: PlanEvent, warnings: readonly string[]) => Page | boolean;
  /** The names that will be in the events. */
  readonly namesIn: (plan: PlanEvent) => readonly string[];
}

/**
 * Runs a command: the user reviews its plan, then its progress is shown. Returns the result; undefined if the user did
 * not agree. Throws CofferFailed.
 */
export async function runWithProgress(
  wizard: Wizard,
  coffer: CofferProgram,
  {
    words,
    environment,
    passphrase,
    title,
    afterwards,
    stopQuestion,
    review,
    namesIn,
  }: WatchedCommand,
): Promise<ResultEvent | undefined> {
  const progress = new ProgressPage(title, afterwards);
  const running = coffer.start(words, environment);
  const show = (): void =>
    wizard.showWork(progress, { stop: () => running.interrupt(), stopQuestion });
  const isAgreed = async (page: Page): Promise<boolean> => {
    const agreed = await wizard.ask(page);
    show();
    return agreed;
  };
  show();
  // Those that follow the plan are among its problems.
  let warnings: readonly string[] = [];
  let isPlanned = false;
  return await resultOf(running, {
    passphrase,
    tell: (event) => {
      progress.tell(event);
      if (event.event === 'warning' && !isPlanned) warnings = [...warnings, event.sentence];
      if (event.event !== 'plan') return;
      isPlanned = true;
      progress.expect(namesIn(event));
    },
    agree: async (plan) => {
      const page = review(plan, warnings);
      return typeof page === 'boolean' ? page : isAgreed(page);
    },
    goOn: (question, later) => isAgreed(new ReviewPage(question, _('_Go on'), later)),
  });
}
