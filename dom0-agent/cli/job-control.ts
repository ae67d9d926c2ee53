import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { RefusedError } from '../../shared/errors.ts';

/** How long to wait for this process to be stopped by its own signal, in milliseconds. */
const STOPPING = 100;

/**
 * Whether this process may use its terminal, that is, whether its process group is in the foreground
 * (proc_pid_stat(5): `pid (comm) state ppid pgrp session tty_nr tpgid …`).
 */
export function isInForeground(): boolean {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return group === foreground;
}

/**
 * Stops this process until the shell brings it to the foreground, as the kernel does with a process that reads its
 * terminal from the background. Throws RefusedError if there is no shell that could bring it back.
 */
export async function untilInForeground(signal: AbortSignal): Promise<void> {
  while (!isInForeground()) {
    let continued = 0;
    const note = (): void => void (continued += 1);
    process.on('SIGCONT', note);
    // Stops the whole job, as the kernel does.
    process.kill(0, 'SIGTTIN');
    await sleep(STOPPING, undefined, { signal });
    process.off('SIGCONT', note);
    // The kernel does not stop a process that no shell would continue.
    if (continued === 0 && !isInForeground()) {
      throw new RefusedError('coffer is running in the background, where nobody can answer');
    }
  }
}
