/** Instead of an answer: the user wants to go back to the previous question. */
export const BACK = Symbol('back');
export type Back = typeof BACK;

/** Asks a question, and returns what is known with the answer; undefined if the question does not arise. */
export type Step<T> = (known: T) => Promise<T | undefined | Back>;

/** Asks one question after the other. Returns all answers, or BACK if the user goes back from the first question. */
export async function askInOrder<T>(steps: readonly Step<T>[], begin: T): Promise<T | Back> {
  const asked: { readonly at: number; readonly known: T }[] = [];
  let [at, known] = [0, begin];
  for (;;) {
    const step = steps[at];
    if (step === undefined) return known;
    const answer = await step(known);
    if (answer === BACK) {
      const before = asked.pop();
      if (before === undefined) return BACK;
      ({ at, known } = before);
      continue;
    }
    if (answer !== undefined) {
      asked.push({ at, known });
      known = answer;
    }
    at++;
  }
}
