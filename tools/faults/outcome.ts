import type { Ending } from './faults.ts';

/** The outcome of a trial of any campaign. */
export interface Outcome {
  /** With this seed, the same trial can be repeated alone. */
  readonly seed: number;
  /** What was tried: outcomes are grouped by this. */
  readonly what: string;
  /** How coffer ended. */
  readonly ending: Ending;
  /** False if coffer was quicker: then the trial says nothing. */
  readonly struck: boolean;
  readonly milliseconds: number;
  /** Which promises were broken; empty if none were. */
  readonly complaints: readonly string[];
  readonly said: string;
}
