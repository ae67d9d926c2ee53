import { spawnSync } from 'node:child_process';
import type { Command } from './measure.ts';

/**
 * Runs a command and returns the processor time that it took, in seconds, including all processes that it started and
 * waited for. Throws when it fails.
 */
export function processorTime({ argv, env }: Command): number {
  const script = 'TIMEFORMAT="%U %S"; time "$@" > /dev/null 2>&1';
  const { status, stderr } = spawnSync('bash', ['-c', script, 'time', ...argv], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  const [, user, system] = /^([0-9.]+) ([0-9.]+)$/m.exec(stderr) ?? [];
  if (status !== 0 || user === undefined) throw new Error(`${argv.join(' ')} failed`);
  return Number(user) + Number(system);
}
