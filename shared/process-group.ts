import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemCodeOf } from './errors.ts';

/** How often to check whether the group has ended, in milliseconds. */
const INTERVAL = 20;

/**
 * Terminates a whole process group and, after `grace` milliseconds, kills it.
 *
 * @param leader the process id of its leader
 */
export async function endGroup(leader: number, grace: number): Promise<void> {
  const deadline = performance.now() + grace;
  let isThere = signalGroup(leader, 'SIGTERM');
  while (isThere && isRunning(leader) && performance.now() < deadline) {
    await sleep(INTERVAL);
    isThere = signalGroup(leader, 0);
  }
  if (isThere) signalGroup(leader, 'SIGKILL');
}

/** Sends a signal to the group (0: none). Returns whether the group still exists. */
function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-leader, signal);
  } catch (error) {
    // EPERM: it exists, but now belongs to another user.
    if (['ESRCH', 'EPERM'].includes(systemCodeOf(error) ?? '')) return false;
    throw error;
  }
}

/**
 * Whether any process of an existing group still runs. One that has exited remains in the group as a zombie until its
 * parent reaps it, or init if the parent is gone: some inits, such as those of containers, take their time.
 */
function isRunning(leader: number): boolean {
  const states = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => stateIn(leader, pid));
  // Where /proc hides other users' processes, none is seen.
  return states.length === 0 || states.some((state) => state !== 'Z' && state !== 'X');
}

/** The state of a process as in proc(5), or nothing if it is not in the group. */
function stateIn(leader: number, pid: string): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state = '', , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(group) === leader ? [state] : [];
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(systemCodeOf(error) ?? '')) return [];
    throw error;
  }
}
