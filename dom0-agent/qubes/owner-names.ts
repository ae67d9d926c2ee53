import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import { systemCodeOf } from '../../shared/errors.ts';

/**
 * Names for what coffer creates temporarily. They identify the process that created it, so that a later
 * coffer can tell what a killed one has left from what another one is using: process id, its start time
 * (process ids are reused), and a random part.
 */
const OWNED = /coffer\.(\d+)\.(\d+)\.[0-9a-f]{8}$/;

/** A new name that belongs to this process: `coffer.<pid>.<start>.<random>`. */
export async function newOwnerName(): Promise<string> {
  const start = await startTimeOf(process.pid);
  return `coffer.${process.pid}.${start ?? '0'}.${randomBytes(4).toString('hex')}`;
}

/** Whether a name is, or ends with, one of coffer's, and the process that made it has ended. */
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

/** States of a process that has ended but has not been waited for. */
const ENDED = ['Z', 'X'];

/**
 * When a process started, in clock ticks since boot: the 22nd field of `/proc/<pid>/stat`. Undefined when
 * it has ended.
 */
async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name in parentheses, and may contain spaces and parentheses.
    const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return ENDED.includes(state) ? undefined : fields[18];
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ESRCH') return undefined;
    throw error;
  }
}
