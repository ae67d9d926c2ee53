import { ChildProcess } from '../../shared/child-process.ts';
import { printableWords } from '../../shared/printable.ts';

/** A desktop that does not answer is not waited for, in milliseconds. */
const TIMEOUT = 10_000;

/**
 * Shows a notification on the desktop by notify-send(1). Gives why it could not be shown, in words: a machine
 * without a desktop, or without the program, has none.
 */
export async function notify(summary: string, body: string): Promise<string | undefined> {
  const command = [
    'notify-send',
    '--app-name=coffer',
    '--icon=dialog-warning',
    '--',
    summary,
    body,
  ];
  await using child = new ChildProcess(command, {
    stdout: 'ignore',
    signal: AbortSignal.timeout(TIMEOUT),
  });
  const { exitStatus, notRun, untrustedStderr } = await child.ended;
  if (notRun !== undefined) return 'there is no notify-send on this machine';
  if (exitStatus === 0) return undefined;
  return `notify-send failed: ${printableWords(untrustedStderr) || 'it printed no reason'}`;
}
