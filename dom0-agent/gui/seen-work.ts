import type Gtk from 'gi://Gtk?version=3.0';
import { type CofferProgram, resultOf } from './coffer-program.ts';
import { ProgressPage } from './progress-page.ts';
import { ReviewPage } from './review-page.ts';
import { _ } from './texts.ts';
import type { PlanEvent, ResultEvent } from './told.ts';
import type { Page, Wizard } from './wizard.ts';

/** What a window lets coffer do while the user looks on. */
export interface SeenWork {
  readonly words: readonly string[];
  /** Variables for coffer, beside those of the window. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly passphrase: string;
  /** What the page of the progress is called. */
  readonly title: string;
  /** What the user can choose meanwhile, for afterwards. */
  readonly afterwards?: Gtk.Widget;
  /** Asked before it is stopped: what then becomes of it. */
  readonly stopQuestion: string;
  /** The page on which the user agrees to the plan; or whether it was agreed to otherwise. */
  readonly review: (plan: PlanEvent) => Page | boolean;
  /** By which names coffer tells of what is in the plan. */
  readonly namesIn: (plan: PlanEvent) => readonly string[];
}

/** The plan is reviewed, then the progress is shown. Gives the result, and undefined if the user did not agree. */
export async function doSeen(
  wizard: Wizard,
  coffer: CofferProgram,
  { words, environment, passphrase, title, afterwards, stopQuestion, review, namesIn }: SeenWork,
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
  return await resultOf(running, {
    passphrase,
    tell: (event) => {
      progress.tell(event);
      if (event.event === 'plan') progress.expect(namesIn(event));
    },
    agree: async (plan) => {
      const page = review(plan);
      return typeof page === 'boolean' ? page : isAgreed(page);
    },
    goOn: (question, warnings) => isAgreed(new ReviewPage(question, _('_Go on'), warnings)),
  });
}
