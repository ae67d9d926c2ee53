import { rm } from 'node:fs/promises';
import { coffer, cofferBackup } from './coffer.ts';
import type { Command } from './measure.ts';
import type { Job } from './row.ts';
import type { World } from './world.ts';

/** `coffer backup` of the VMs of a system to its storage VM. The system is made when it is first needed. */
export async function backupJob(
  world: World,
  name: string,
  images: Readonly<Record<string, string>>,
  options: readonly string[] = [],
): Promise<Job> {
  const system = await world.system(name, images);
  return {
    name: `coffer, ${name}`,
    command: cofferBackup(world, system, Object.keys(images), options),
    after: () => world.removeBackups(system),
  };
}

/** `coffer COMMAND` on a backup, with a new system for each run. */
export function readingJob(
  world: World,
  backup: string,
  command: 'restore' | 'verify' | 'list',
  qubes: readonly string[] = [],
): Job {
  const system = world.place(`fresh-${command}`);
  const options = command === 'restore' ? ['-y'] : [];
  return {
    name: `coffer ${command}`,
    command: coffer(world, system, [command, ...options, 'backups/backup', ...qubes]),
    before: () => world.systemToRestoreInto(system, backup),
    after: () => rm(system, { recursive: true }),
  };
}

/** A job of another program; the paths in `made` are removed after each run. */
export function otherJob(name: string, command: Command, made: readonly string[] = []): Job {
  const remove = async (): Promise<void> => {
    for (const path of made) await rm(path, { recursive: true, force: true });
  };
  return { name, command, after: remove };
}

/** The same job on one core. */
export function onOneCore({ command, ...job }: Job): Job {
  const argv = ['taskset', '-c', '0', ...command.argv];
  return { ...job, name: `${job.name}, 1 core`, command: { ...command, argv } };
}
