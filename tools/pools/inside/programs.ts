import { runnerBehind } from '../../../shared/run-program.ts';

const run = runnerBehind([]);

/** Runs a command line, which must not contain quotes; returns its standard output. Throws when it fails. */
export async function sh(line: string): Promise<string> {
  const [program = '', ...args] = line.split(' ').filter((word) => word !== '');
  return await run(program, args);
}
