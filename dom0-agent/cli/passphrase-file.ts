import { basename, dirname } from 'node:path';
import { ExitStatus, RefusedError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { Dom0Storage } from '../transport/dom0-storage.ts';
import { isRefusal } from '../transport/storage-errors.ts';
import type { Sink } from '../transport/storage.ts';
import type { OutputFlags } from './archive-options.ts';
import { CommandReport } from './command-report.ts';
import { askNewPassphrase, requireTerminal } from './questions.ts';

const NO_TERMINAL = 'there is no terminal to ask for the passphrase';

/**
 * `coffer passphrase-file`: creates a file for `-p` and for profiles, which only its owner can read. It is written
 * atomically and never overwrites anything: an error is reported before the passphrase is asked for. Returns the
 * exit status.
 */
export async function passphraseFileCommand(
  file: string,
  flags: OutputFlags,
  signal: AbortSignal,
): Promise<number> {
  requireTerminal(NO_TERMINAL);
  using report = new CommandReport(flags);
  await using sink = await openNewFile(file, signal);
  const warn = (text: string): void => report.warning(text);
  const passphrase = await askNewPassphrase(undefined, 'coffer-1', warn, signal);
  try {
    await sink.write(passphrase);
    await sink.write(Buffer.from('\n'));
    await sink.finish();
  } finally {
    passphrase.fill(0);
  }
  report.say(`The passphrase is in ${printable(file)}, which only its owner can read.`);
  report.result({ ok: true, command: 'passphrase-file', file, warnings: report.warnings });
  return ExitStatus.done;
}

async function openNewFile(file: string, signal: AbortSignal): Promise<Sink> {
  try {
    const target = { directory: dirname(file), fileName: basename(file) };
    return await new Dom0Storage().openSink(target, undefined, signal);
  } catch (error) {
    if (!isRefusal(error, 'EXISTS')) throw error;
    throw new RefusedError(
      `${printable(file)}, or ${printable(basename(file))}.partial next to it, already exists: it is not overwritten`,
      { cause: error },
    );
  }
}
