import { runnerBehind } from '../../../shared/run-program.ts';

const run = runnerBehind([]);

/** Runs a program as a line of words without quotes; gives what it printed. Throws when it fails. */
export async function sh(line: string): Promise<string> {
  const [program = '', ...args] = line.split(' ').filter((word) => word !== '');
  return await run(program, args);
}
