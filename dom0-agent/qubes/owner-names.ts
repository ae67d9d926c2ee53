import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { systemCodeOf } from '../../shared/errors.ts';

/**
 * Names for what coffer makes in a storage pool for a while. They tell which process made it, so
 * that a later coffer can tell what a killed one has left from what another is just reading: process id,
 * the time of its start (process ids are used again), and a random part.
 */
const OWNED = /coffer\.(\d+)\.(\d+)\.[0-9a-f]{8}$/;

/** A new name of this process's: `coffer.<pid>.<start>.<random>`. */
export async function newOwnerName(): Promise<string> {
  const start = await startTimeOf(process.pid);
  return `coffer.${process.pid}.${start ?? '0'}.${randomBytes(4).toString('hex')}`;
}

/** Whether a name is one of coffer's, or ends with one, and the process that made it is gone. */
export async function isOwnerGone(name: string): Promise<boolean> {
  const [, pid, start] = OWNED.exec(name) ?? [];
  return pid !== undefined && (await startTimeOf(Number(pid))) !== start;
}

/** Whether two names were made by the same process. */
export function isOfSameOwner(name: string, other: string): boolean {
  const [, pid, start] = OWNED.exec(name) ?? [];
  const [, otherPid, otherStart] = OWNED.exec(other) ?? [];
  return pid !== undefined && pid === otherPid && start === otherStart;
}

/** A process in these states has ended, and only its parent has not noticed yet. */
const ENDED = ['Z', 'X'];

/**
 * When a process started, in clock ticks since boot: the 22nd field of `/proc/<pid>/stat`. Undefined when
 * it is gone.
 */
async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in brackets, and may hold spaces and brackets.
    const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return ENDED.includes(state) ? undefined : fields[18];
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ESRCH') return undefined;
    throw error;
  }
}
