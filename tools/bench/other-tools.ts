import { rm } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { measure } from './measure.ts';
import type { Job } from './row.ts';
import type { World } from './world.ts';

/** First backups of an image by the programs that people compare with, as far as they are installed. */
export function otherTools(world: World, image: string): Job[] {
  return [restic(world, image), borg(world, image)].filter((job) => isInstalled(job.name));
}

function restic(world: World, image: string): Job {
  const repository = world.place('restic');
  const command = ['restic', '-q', '--no-cache', '--repo', repository];
  const env = { RESTIC_PASSWORD: 'benchmark' };
  return {
    name: 'restic',
    command: { argv: [...command, 'backup', image], env },
    before: async () => {
      await measure({ argv: [...command, 'init'], env });
    },
    after: () => rm(repository, { recursive: true }),
  };
}

function borg(world: World, image: string, archive = 'first'): Job {
  const repository = world.place('borg');
  const env = {
    BORG_PASSPHRASE: 'benchmark',
    BORG_BASE_DIR: world.place('borg-home'),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
  };
  return {
    name: 'borg',
    command: {
      argv: ['borg', 'create', '--sparse', '-C', 'zstd,3', `${repository}::${archive}`, image],
      env,
    },
    before: async () => {
      await measure({ argv: ['borg', 'init', '-e', 'repokey', repository], env });
    },
    after: async () => {
      await rm(repository, { recursive: true });
      await rm(world.place('borg-home'), { recursive: true });
    },
  };
}

/** Another program that backs up the same image again and again. */
export interface RepeatedTool {
  readonly job: Job;
  /** Where it stores what it stores. */
  readonly repository: string;
}

/** Later backups of an image by those programs; the first ones are made. */
export async function repeatedBackups(world: World, image: string): Promise<RepeatedTool[]> {
  const made: RepeatedTool[] = [];
  for (const [name, repository, { command, before }] of [
    ['restic', world.place('restic'), restic(world, image)],
    ['borg', world.place('borg'), borg(world, image, '{utcnow}')],
  ] as const) {
    if (!isInstalled(name)) continue;
    await before?.();
    await measure(command);
    made.push({ job: { name, command }, repository });
  }
  return made;
}

function isInstalled(program: string): boolean {
  return spawnSync(program, ['--help']).status === 0;
}
