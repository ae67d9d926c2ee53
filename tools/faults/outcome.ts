import type { Ending } from './faults.ts';

/** What came of a trial of any campaign. */
export interface Outcome {
  /** Gives the same trial again, by itself. */
  readonly seed: number;
  /** What was tried: outcomes are counted by it. */
  readonly what: string;
  /** How coffer ended. */
  readonly ending: Ending;
  /** False when coffer was quicker: the trial says nothing then. */
  readonly struck: boolean;
  readonly milliseconds: number;
  /** What is not as promised; empty when all is well. */
  readonly complaints: readonly string[];
  readonly said: string;
}
