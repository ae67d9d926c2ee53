import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { systemCodeOf } from '../../shared/errors.ts';

/** What other processes, at least of the same user, can see of a process. */
export interface Sight {
  readonly arguments: string;
  readonly environment: string;
  /** The targets of its file descriptors. */
  readonly files: readonly string[];
}

/** Observes a process and all its descendants until `over`. Returns each distinct observation once. */
export async function watchTree(pid: number, over: AbortSignal): Promise<Sight[]> {
  const seen = new Map<string, Sight>();
  while (!over.aborted) {
    for (const each of treeOf(pid)) {
      const sight = sightOf(each);
      if (sight !== undefined) seen.set(JSON.stringify(sight), sight);
    }
    await pause(3);
  }
  return [...seen.values()];
}

function treeOf(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    // The parent is the fourth field. The second is in parentheses, and may contain any characters.
    const parent = Number(
      lookAt(() => readFileSync(`/proc/${name}/stat`, 'utf8'))
        ?.replace(/^.*\) \S /s, '')
        .split(' ')[0],
    );
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const descend = (pid: number): number[] => [pid, ...(children.get(pid) ?? []).flatMap(descend)];
  return descend(root);
}

function sightOf(pid: number): Sight | undefined {
  return lookAt(() => ({
    arguments: readFileSync(`/proc/${pid}/cmdline`, 'latin1'),
    environment: readFileSync(`/proc/${pid}/environ`, 'latin1'),
    files: filesOf(pid),
  }));
}

/** The files that a process has open. */
export function filesOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).map(
    (fd) => lookAt(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? '',
  );
}

/** A process may end while it is observed. */
function lookAt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(systemCodeOf(error) ?? '')) return undefined;
    throw error;
  }
}
