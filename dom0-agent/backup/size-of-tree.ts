import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { FailedError, messageOf } from '../../shared/errors.ts';
import { rootPrefix } from '../qubes/volumes/run.ts';

/** What tar stores of a file besides its content: header, pax header, a long name, the last block's rest. */
const AROUND_FILE = 4096;
/** Files come and go while a home is in use. */
const GROWTH = 1.05;

/**
 * The bytes that the tar of a directory tree has at most, with some room for what changes until it is
 * made. Only where the tree holds what its user cannot read, root looks. Throws FailedError.
 */
export async function sizeOfTree(directory: string): Promise<number> {
  const size = (await sizeSeenBy([], directory)) ?? (await sizeSeenBy(rootPrefix(), directory));
  if (size !== undefined) return Math.ceil(size * GROWTH);
  throw new FailedError(`dom0's home ${directory} cannot be read whole`);
}

/** Undefined when find cannot see all. */
async function sizeSeenBy(
  prefix: readonly string[],
  directory: string,
): Promise<number | undefined> {
  const [program, ...args] = [...prefix, 'find', directory, '-ignore_readdir_race'] as const;
  const find = spawn(program, [...args, '-printf', '%s\\n'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const closed = once(find, 'close').catch((error: unknown) => {
    throw new FailedError(`${program} cannot be run for dom0's home: ${messageOf(error)}`);
  });
  const [size] = await Promise.all([sumOf(createInterface({ input: find.stdout })), closed]);
  return find.exitCode === 0 ? size : undefined;
}

async function sumOf(lines: AsyncIterable<string>): Promise<number> {
  let bytes = 0;
  for await (const line of lines) bytes += Number(line) + AROUND_FILE;
  return bytes;
}
