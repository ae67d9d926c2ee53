import { availableParallelism } from 'node:os';
import { CommanderError } from 'commander';
import { CofferError, ExitStatus, messageOf } from '../../shared/errors.ts';
import { abortOnSignals } from './interrupts.ts';
import { buildProgram } from './program.ts';

/** Runs the command line; whatever happens becomes one sentence and an exit status. */
async function main(): Promise<number> {
  // Key derivations and MACs take a thread each, and reading goes on meanwhile.
  process.env['UV_THREADPOOL_SIZE'] ??= `${availableParallelism() + 2}`;
  const signal = abortOnSignals();
  let status: number = ExitStatus.done;
  try {
    await buildProgram(signal, (exitStatus) => (status = exitStatus)).parseAsync();
    return status;
  } catch (error) {
    // commander has said already what is wrong with the words.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : ExitStatus.usage;
    return tell(signal.aborted ? signal.reason : error);
  }
}

function tell(error: unknown): number {
  const exitStatus = error instanceof CofferError ? error.exitStatus : ExitStatus.failed;
  const message = messageOf(error);
  process.stderr.write(`coffer: ${message}\n`);
  if (process.argv.includes('--json')) {
    process.stdout.write(`${JSON.stringify({ ok: false, exitStatus, error: message })}\n`);
  }
  return exitStatus;
}

// Whoever reads the output may leave: what is under way is done all the same, and the exit status tells.
for (const output of [process.stdout, process.stderr]) output.on('error', () => undefined);

// Whatever happens, silence is no success: should everything come to rest before the end, that is a failure.
process.exitCode = ExitStatus.failed;
let isOver = false;
process.on('exit', () => {
  if (!isOver)
    process.stderr.write('coffer: it stopped before the end, through a fault of its own\n');
});
void main().then((status) => {
  isOver = true;
  process.exitCode = status;
});
