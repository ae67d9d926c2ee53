/** A parser under attack. */
export interface Target {
  readonly name: string;
  /** The source files whose coverage is reported: parts of their paths. */
  readonly sources: readonly string[];
  /** Sound inputs, to be damaged. */
  readonly seeds: () => readonly Buffer[];
  /** What inputs are made of: put in at any place. */
  readonly words: readonly (string | Buffer)[];
  /** Makes checksums fit again, so that what lies behind them is reached too. */
  readonly repair?: (input: Buffer) => Buffer;
  /** The only error that the parser may throw. */
  readonly refusal: abstract new (...args: never[]) => Error;
  /** Parses; throws the refusal, or anything else when a promise is broken. */
  readonly run: (input: Buffer) => Promise<void> | void;
}

/** What became of an input that kept the promises. */
export type Verdict = 'accepted' | 'refused';

/** No input may take longer, in milliseconds: that would be a hang. */
const LONGEST = 10_000;

/** Runs a target on one input. Throws when a promise is broken. */
export async function tryInput(target: Target, input: Buffer): Promise<Verdict> {
  const begun = performance.now();
  let verdict: Verdict = 'accepted';
  try {
    await target.run(input);
  } catch (error) {
    if (!(error instanceof target.refusal)) throw error;
    requireTame(error.message);
    verdict = 'refused';
  }
  const milliseconds = performance.now() - begun;
  if (milliseconds > LONGEST) throw new Error(`${target.name} took ${milliseconds} ms`);
  return verdict;
}

/** What is told to the user has no control characters of the input, and is short. */
function requireTame(message: string): void {
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(message) || message.length > 1_500) {
    throw new Error(`the error holds hostile text: ${JSON.stringify(message)}`);
  }
}
