import type { RunProgram } from '../../../shared/run-program.ts';
import { FailedError } from '../../../shared/errors.ts';

/** A double of programs, with recorded output of the real ones. Logs the commands that were run. */
export class Commands {
  readonly ran: string[] = [];
  readonly #outputs: readonly (readonly [RegExp, string | Error])[];

  /** The output or the failure of the first pattern that matches a command line. */
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
