import { ExitStatus } from '../../shared/errors.ts';
import { makeSandbox } from '../qubes/sandbox/make-sandbox.ts';
import type { OutputFlags } from './archive-options.ts';
import { CommandReport } from './command-report.ts';
import { shellWords } from './wizard/shell-words.ts';

export interface SandboxFlags extends OutputFlags {
  readonly empty?: true;
}

/** `coffer sandbox`. Returns the exit status. */
export async function sandboxCommand(
  directory: string,
  flags: SandboxFlags,
  signal: AbortSignal,
): Promise<number> {
  using report = new CommandReport(flags);
  await makeSandbox(directory, { empty: flags.empty ?? false }, signal, (step) =>
    report.info(step),
  );
  report.say(
    `A sample Qubes system is in ${directory}: use it with ${shellWords(['--system', directory])}`,
  );
  report.result({ ok: true, command: 'sandbox', directory });
  return ExitStatus.done;
}
