import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemCodeOf } from '../shared/errors.ts';

const COMPILE_CACHE = fileURLToPath(new URL('compile-cache.cjs', import.meta.url));

/** Sets up a run of the tests. Returns its clean-up. Each project of the configuration calls this, too. */
export default function beginRun(): (() => void) | undefined {
  if (process.env['TEST_RUN_DIRECTORY'] !== undefined) return undefined;
  const directory = mkdtempSync(join(tmpdir(), 'coffer-run-'));
  // Another user runs some programs from it.
  chmodSync(directory, 0o755);
  process.env['TEST_RUN_DIRECTORY'] = directory;
  process.env['NODE_OPTIONS'] = withPreloaded(COMPILE_CACHE);
  return () => rmSync(directory, { recursive: true });
}

/** A directory of this run that several files use: the first one makes it, the others wait for it. */
export async function madeOnce(
  name: string,
  make: (directory: string) => Promise<void>,
): Promise<string> {
  const directory = join(runDirectory(), name);
  if (isFirst(directory)) {
    const partial = `${directory}.partial`;
    mkdirSync(partial);
    await make(partial);
    renameSync(partial, directory);
  }
  while (!existsSync(directory)) await sleep(50);
  return directory;
}

function isFirst(directory: string): boolean {
  try {
    mkdirSync(`${directory}.begun`);
    return true;
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** The directory of everything that the files of this run share. */
export function runDirectory(): string {
  const directory = process.env['TEST_RUN_DIRECTORY'];
  if (directory === undefined) throw new Error('this is no run of the tests');
  return directory;
}

/** NODE_OPTIONS for a program that a test starts, with a script to preload. */
export function withPreloaded(script: string): string {
  const options = process.env['NODE_OPTIONS'] ?? '';
  return `${options} --require=${script}`.trim();
}
