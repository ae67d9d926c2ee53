import fc from 'fast-check';
import { inputsFor } from './mutations.ts';
import { type Target, tryInput } from './target.ts';

/** How many inputs are tried before the time is checked again. */
const BATCH = 100;

export interface Campaign {
  readonly executions: number;
  readonly accepted: number;
  /** The smallest input that broke a promise, and how. */
  readonly failure: { readonly input: Buffer; readonly message: string } | undefined;
}

/** How long a target is attacked: for some time, or with a number of inputs. */
export type Length = { readonly milliseconds: number } | { readonly inputs: number };

/** Attacks a target with inputs that depend on the seed only. */
export async function attack(target: Target, length: Length, seed: number): Promise<Campaign> {
  const inputs = inputsFor(target);
  const begun = performance.now();
  let executions = 0;
  let accepted = 0;
  const isOver = (): boolean =>
    'inputs' in length
      ? executions >= length.inputs
      : performance.now() - begun >= length.milliseconds;
  for (let batch = 0; !isOver(); batch++) {
    const property = fc.asyncProperty(inputs, async (input) => {
      executions += 1;
      if ((await tryInput(target, input)) === 'accepted') accepted += 1;
    });
    const result = await fc.check(property, { seed: seed + batch, numRuns: BATCH });
    if (result.failed) {
      const [input = Buffer.alloc(0)] = result.counterexample ?? [];
      const { errorInstance } = result;
      const message =
        errorInstance instanceof Error ? (errorInstance.stack ?? '') : String(errorInstance);
      return { executions, accepted, failure: { input, message } };
    }
  }
  return { executions, accepted, failure: undefined };
}
