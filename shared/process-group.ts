import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemCodeOf } from './errors.ts';

const INTERVAL = 20;

/**
 * Terminates a whole process group and, after `grace` milliseconds, kills it.
 *
 * @param leader the process id of its leader
 */
export async function endGroup(leader: number, grace: number): Promise<void> {
  const deadline = performance.now() + grace;
  let isThere = signalGroup(leader, 'SIGTERM');
  while (isThere && isAtWork(leader) && performance.now() < deadline) {
    await sleep(INTERVAL);
    isThere = signalGroup(leader, 0);
  }
  if (isThere) signalGroup(leader, 'SIGKILL');
}

/** Whether the group is still there. */
function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-leader, signal);
  } catch (error) {
    // EPERM: there, but it has become another user's.
    if (['ESRCH', 'EPERM'].includes(systemCodeOf(error) ?? '')) return false;
    throw error;
  }
}

/**
 * Whether any of a group that is there has not ended. One that has ended stays in its group until its parent takes notice,
 * or init, when its parent has ended before it: some inits, as those of containers, take their time.
 */
function isAtWork(leader: number): boolean {
  const states = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => stateIn(leader, pid));
  // None is seen where /proc hides other users' processes.
  return states.length === 0 || states.some((state) => state !== 'Z' && state !== 'X');
}

/** The state of a process, by proc(5), if it is one of the group. */
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
