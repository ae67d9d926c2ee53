import { closeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isatty } from 'node:tty';
import { CommanderError } from 'commander';
import {
  CofferError,
  ExitStatus,
  InterruptedError,
  firstOf,
  messageOf,
} from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { abortOnSignals } from './signals.ts';
import { buildProgram } from './program.ts';
import { fieldInUsage, errorFieldOf, errorVmOf } from './error-field.ts';
import type { Field } from './events.ts';
import { liveBlock, requireWritten, showEvent, showNotice } from './output.ts';

/** Runs the command line. Every error becomes one sentence and an exit status. */
async function main(): Promise<number> {
  // Each key derivation, MAC and write to a compressor occupies a thread, and reading must go on meanwhile.
  process.env['UV_THREADPOOL_SIZE'] ??= `${2 * availableParallelism() + 2}`;
  const signal = abortOnSignals();
  try {
    const status = await runCommand(signal);
    await requireWritten();
    return status;
  } catch (thrown) {
    const error = firstOf(thrown);
    return reportError(
      signal.aborted && !(error instanceof InterruptedError) ? signal.reason : error,
    );
  }
}

async function runCommand(signal: AbortSignal): Promise<number> {
  let status: number = ExitStatus.done;
  const run = async (words: readonly string[]): Promise<void> => {
    const program = buildProgram(signal, (exitStatus) => (status = exitStatus));
    await program.parseAsync(words, { from: 'user' });
  };
  const words = process.argv.slice(2);
  try {
    if (words.length === 0 && isatty(0) && isatty(1)) {
      const { wizard } = await import('./wizard/wizard.ts');
      await wizard(run, signal);
    } else await run(words);
  } catch (error) {
    // commander has already reported what is wrong with the arguments.
    if (error instanceof CommanderError) return reportUsage(error);
    throw error;
  }
  return status;
}

function reportError(error: unknown): number {
  const exitStatus = error instanceof CofferError ? error.exitStatus : ExitStatus.failed;
  const message = messageOf(error);
  liveBlock.end();
  showNotice(`coffer: ${printable(message, Infinity)}`);
  reportToPrograms(exitStatus, message, errorFieldOf(error), errorVmOf(error));
  return exitStatus;
}

function reportUsage({ exitCode, message }: CommanderError): number {
  if (exitCode === 0) return ExitStatus.done;
  reportToPrograms(ExitStatus.usage, message.replace(/^error: /, ''), fieldInUsage(message));
  return ExitStatus.usage;
}

function reportToPrograms(
  exitStatus: number,
  sentence: string,
  field: Field | undefined,
  vm?: string,
): void {
  if (!process.argv.includes('--json')) return;
  showEvent({ event: 'error', field: field ?? null, vm: vm ?? null, sentence, exitStatus });
}

/** Which of standard input, output and error are terminals. */
const terminals = [0, 1, 2].filter((fd) => isatty(fd));
let isDone = false;

/** Ends coffer, whatever is still pending. */
function endWith(exitStatus: number): void {
  isDone = true;
  process.exit(exitStatus);
}

// Node.js exits when nothing is pending. If that happens before `main` has returned, it is a failure.
process.exitCode = ExitStatus.failed;
process.on('exit', () => {
  liveBlock.end();
  if (!isDone) showNotice('coffer: it stopped before it was finished, because of a bug in coffer');
  // Node.js restores the terminals' modes when it exits, and aborts if one no longer exists.
  for (const fd of terminals) if (!isatty(fd)) closeSync(fd);
});
process.on('uncaughtException', (error) => endWith(reportError(error)));
void main().then(endWith);
