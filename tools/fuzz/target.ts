/** A parser under attack. */
export interface Target {
  readonly name: string;
  /** The source files whose coverage is reported: parts of their paths. */
  readonly sources: readonly string[];
  /** Valid inputs, to be damaged. */
  readonly seeds: () => readonly Buffer[];
  /** Typical pieces of inputs, which are inserted anywhere. */
  readonly words: readonly (string | Buffer)[];
  /** Corrects checksums, so that the code after their check is reached, too. */
  readonly repair?: (input: Buffer) => Buffer;
  /** The only error that the parser may throw. */
  readonly refusal: abstract new (...args: never[]) => Error;
  /** Parses; throws the refusal, or anything else when a promise is broken. */
  readonly run: (input: Buffer) => Promise<void> | void;
}

/** The result for an input with which all promises were kept. */
export type Verdict = 'accepted' | 'refused';

/** In ms: an input that takes longer counts as a hang. */
const LONGEST = 10_000;

/** Runs a target on one input. Throws when a promise is broken. */
export async function tryInput(target: Target, input: Buffer): Promise<Verdict> {
  const begun = performance.now();
  let verdict: Verdict = 'accepted';
  try {
    await target.run(input);
  } catch (error) {
    if (!(error instanceof target.refusal)) throw error;
    requireHarmless(error.message);
    verdict = 'refused';
  }
  const milliseconds = performance.now() - begun;
  if (milliseconds > LONGEST) throw new Error(`${target.name} took ${milliseconds} ms`);
  return verdict;
}

/** Throws unless a message for the user is short, and contains no control characters from the input. */
function requireHarmless(message: string): void {
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(message) || message.length > 1_500) {
    throw new Error(`the error holds hostile text: ${JSON.stringify(message)}`);
  }
}
