import type { RunProgram } from '../../../shared/run-program.ts';
import { FailedError } from '../../../shared/errors.ts';

/** Plays programs from what the real ones printed, and notes what was run. */
export class Commands {
  readonly ran: string[] = [];
  readonly #outputs: readonly (readonly [RegExp, string | Error])[];

  /** The first pattern that fits a command line gives its output, or its failure. */
  constructor(...outputs: (readonly [RegExp, string | Error])[]) {
    this.#outputs = outputs;
  }

  readonly run: RunProgram = async (program, args) => {
    const line = [program, ...args].join(' ');
    this.ran.push(line);
    const output = this.#outputs.find(([pattern]) => pattern.test(line))?.[1] ?? '';
    if (typeof output === 'string') return await Promise.resolve(output);
    throw new FailedError(`"${line}" failed (5): ${output.message}`);
  };
}
