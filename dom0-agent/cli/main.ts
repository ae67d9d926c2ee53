import { availableParallelism } from 'node:os';
import { CommanderError } from 'commander';
import { CofferError, ExitStatus, InterruptedError, messageOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { endWith } from './end.ts';
import { abortOnSignals } from './interrupts.ts';
import { buildProgram } from './program.ts';
import { liveLine, requireWritten, showJson, showNotice } from './screen.ts';

/** Runs the command line; whatever happens becomes one sentence and an exit status. */
async function main(): Promise<number> {
  // Key derivations and MACs take a thread each, and reading goes on meanwhile.
  process.env['UV_THREADPOOL_SIZE'] ??= `${availableParallelism() + 2}`;
  const signal = abortOnSignals();
  try {
    const status = await runCommand(signal);
    await requireWritten();
    return status;
  } catch (error) {
    return tell(signal.aborted && !(error instanceof InterruptedError) ? signal.reason : error);
  }
}

async function runCommand(signal: AbortSignal): Promise<number> {
  let status: number = ExitStatus.done;
  try {
    await buildProgram(signal, (exitStatus) => (status = exitStatus)).parseAsync();
  } catch (error) {
    // commander has said already what is wrong with the words.
    if (error instanceof CommanderError) return tellUsage(error);
    throw error;
  }
  return status;
}

function tell(error: unknown): number {
  const exitStatus = error instanceof CofferError ? error.exitStatus : ExitStatus.failed;
  const message = messageOf(error);
  liveLine.end();
  showNotice(`coffer: ${printable(message, Infinity)}`);
  tellPrograms(exitStatus, message);
  return exitStatus;
}

function tellUsage({ exitCode, message }: CommanderError): number {
  if (exitCode === 0) return ExitStatus.done;
  tellPrograms(ExitStatus.usage, message.replace(/^error: /, ''));
  return ExitStatus.usage;
}

function tellPrograms(exitStatus: number, error: string): void {
  if (process.argv.includes('--json')) showJson({ ok: false, exitStatus, error });
}

process.on('uncaughtException', (error) => {
  endWith(tell(error));
});
void main().then(endWith);
