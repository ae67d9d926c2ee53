import { mkdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { measure } from './measure.ts';
import type { ReflinkPool } from './reflink-pool.ts';
import type { Job } from './row.ts';

/**
 * Makes a first backup of these volumes with Wyng; returns a job for further backups. Wyng finds what has changed by what
 * the file system, which must be Btrfs, shares with a snapshot.
 */
export async function repeatedWyng(
  { mounted, system }: ReflinkPool,
  qubes: readonly string[],
): Promise<Job> {
  const directory = join(mounted, 'others');
  const metadata = join(directory, 'wyng-meta');
  await mkdir(metadata, { recursive: true });
  // Otherwise, Wyng remembers the key for five minutes, and leaves metadata in /var.
  const apart = ['--authmin=0', `--meta-dir=${metadata}`];
  const common = ['--unattended', `--dest=file:${join(directory, 'wyng')}`, ...apart];
  const wyng = ['wyng', ...common, '--passcmd=echo benchmark benchmark'];
  await measure({ argv: [...wyng, 'arch-init'] });
  const volumes = qubes.map((qube) =>
    relative(mounted, join(system, 'appvms', qube, 'private.img')),
  );
  const command = { argv: [...wyng, `--local=${mounted}`, 'send', ...volumes] };
  await measure(command);
  return { name: 'wyng', command };
}
