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

function borg(world: World, image: string): Job {
  const repository = world.place('borg');
  const env = {
    BORG_PASSPHRASE: 'benchmark',
    BORG_BASE_DIR: world.place('borg-home'),
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
  };
  return {
    name: 'borg',
    command: {
      argv: ['borg', 'create', '--sparse', '-C', 'zstd,3', `${repository}::first`, image],
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

function isInstalled(program: string): boolean {
  return spawnSync(program, ['--help']).status === 0;
}
