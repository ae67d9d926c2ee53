import { ChildProcess } from '../../shared/child-process.ts';
import { printableWords } from '../../shared/printable.ts';

/** How long to wait for the desktop, in ms. */
const TIMEOUT = 10_000;

/**
 * Shows a notification on the desktop with notify-send(1). Returns undefined, or why it could not be shown: there may
 * be no desktop, or no such program.
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
