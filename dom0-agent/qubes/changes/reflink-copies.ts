import { dirname, join } from 'node:path';

import { FailedError } from '../../../shared/errors.ts';
import type { RunProgram, RunForLines } from '../../../shared/run-program.ts';
import { extentsOf } from './fiemap.ts';

/** Where in a pool coffer keeps its own copies, a directory for each series. */
const COPIES = '.coffer';
/** The valid names of series and of copies: no others are made, read or removed. */
const SAFE = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** The copies of volumes' images that one series keeps in one pool, which share their blocks with the volumes. */
export class ReflinkCopies {
  readonly #directory: string;
  readonly #run: RunProgram;

  /**
   * @param pool the directory of the pool
   * @param run runs programs as the owner of the pool
   */
  constructor(pool: string, series: string, run: RunProgram) {
    if (!SAFE.test(series)) throw new RangeError(`${series} cannot name a series`);
    this.#directory = join(pool, COPIES, series);
    this.#run = run;
  }

  /** The path of a copy. Throws RangeError for an invalid name. */
  pathOf(name: string): string {
    if (!SAFE.test(name)) throw new RangeError(`${name} cannot name a copy`);
    return join(this.#directory, name);
  }

  /** Makes a copy of `image`, which takes no space as long as neither is changed. Throws FailedError. */
  async make(image: string, name: string): Promise<void> {
    await this.#run('mkdir', ['-p', '-m', '700', '--', dirname(this.#directory), this.#directory]);
    const path = this.pathOf(name);
    try {
      await this.#run('cp', ['--reflink=always', '--sparse=auto', '--', image, path]);
    } catch (error) {
      await this.remove([name]);
      throw error;
    }
  }

  async remove(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await this.#run('rm', ['-f', '--', ...names.map((name) => this.pathOf(name))]);
  }

  /** The names of all copies. */
  async list(): Promise<string[]> {
    return await listNames(this.#directory, this.#run);
  }
}

/**
 * How many bytes of the copies that coffer keeps in a pool are in no other file. Removing the copies would free at
 * least these: bytes that only several copies share do not count.
 */
export async function spaceOfCopies(
  pool: string,
  run: RunProgram,
  runForLines: RunForLines,
): Promise<number> {
  let space = 0;
  for (const series of await listNames(join(pool, COPIES), run)) {
    for (const name of await listNames(join(pool, COPIES, series), run)) {
      for await (const extents of extentsOf(join(pool, COPIES, series, name), runForLines)) {
        for (const { isShared, length } of extents) if (!isShared) space += length;
      }
    }
  }
  return space;
}

/** The valid names in a directory; none if it does not exist. */
async function listNames(directory: string, run: RunProgram): Promise<string[]> {
  try {
    const listed = await run('find', [
      directory,
      '-mindepth',
      '1',
      '-maxdepth',
      '1',
      '-printf',
      '%f\\n',
    ]);
    return listed.split('\n').filter((name) => SAFE.test(name));
  } catch (error) {
    if (isAboutMissingFile(error)) return [];
    throw error;
  }
}

/** Whether a program of this file has failed because a file does not exist. */
export function isAboutMissingFile(error: unknown): boolean {
  return error instanceof FailedError && error.message.includes('No such file or directory');
}
