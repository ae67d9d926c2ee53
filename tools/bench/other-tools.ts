import { spawnSync } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { measure } from './measure.ts';
import type { Job } from './row.ts';
import type { World } from './world.ts';

/** Jobs for the first backup of an image with the programs that coffer is compared with, if they are installed. */
export function otherTools(world: World, image: string): Job[] {
  return [restic(image, world.place('restic')), borg(image, world.place('borg'))].filter((job) =>
    isInstalled(job.name),
  );
}

function restic(image: string, repository: string, options: readonly string[] = []): Job {
  const cache = `${repository}-cache`;
  const command = ['restic', '-q', '--cache-dir', cache, '--repo', repository];
  const env = { RESTIC_PASSWORD: 'benchmark' };
  return {
    name: 'restic',
    command: { argv: [...command, 'backup', ...options, image], env },
    before: async () => {
      await measure({ argv: [...command, 'init'], env });
    },
    after: async () => {
      await rm(repository, { recursive: true });
      await rm(cache, { recursive: true });
    },
  };
}

function borg(
  image: string,
  repository: string,
  archive = 'first',
  options: readonly string[] = [],
): Job {
  const home = `${repository}-home`;
  const env = {
    BORG_PASSPHRASE: 'benchmark',
    BORG_BASE_DIR: home,
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
  };
  return {
    name: 'borg',
    command: {
      argv: [
        'borg',
        'create',
        '--sparse',
        '-C',
        'zstd,3',
        ...options,
        `${repository}::${archive}`,
        image,
      ],
      env,
    },
    before: async () => {
      await measure({ argv: ['borg', 'init', '-e', 'repokey', repository], env });
    },
    after: async () => {
      await rm(repository, { recursive: true });
      await rm(home, { recursive: true });
    },
  };
}

/** Another program that backs up the same image repeatedly. */
export interface RepeatedTool {
  readonly job: Job;
  /** The same, but every file is read, whatever its times say. */
  readonly rereading: Job;
  /** Where it stores its backups. */
  readonly repository: string;
}

/**
 * Makes a first backup of an image, or a directory, with these programs; returns jobs for further backups.
 *
 * @param directory where the repositories are made
 */
export async function repeatedBackups(image: string, directory: string): Promise<RepeatedTool[]> {
  const made: RepeatedTool[] = [];
  await mkdir(directory, { recursive: true });
  for (const [name, make] of [
    ['restic', (to: string, reread: boolean) => restic(image, to, reread ? ['--force'] : [])],
    [
      'borg',
      (to: string, reread: boolean) =>
        borg(image, to, '{utcnow}', reread ? ['--files-cache=disabled'] : []),
    ],
  ] as const) {
    if (!isInstalled(name)) continue;
    const repository = join(directory, name);
    const { command, before } = make(repository, false);
    await before?.();
    await measure(command);
    const rereading = { name, command: make(repository, true).command };
    made.push({ job: { name, command }, rereading, repository });
  }
  return made;
}

export function isInstalled(program: string): boolean {
  return spawnSync(program, ['--help']).status === 0;
}
