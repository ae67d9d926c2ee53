import type { Space } from '../shared/space.ts';
import type { Directory } from './directory.ts';
import type { LocalSink } from './local-streams.ts';

/** A file that is being written, and what is known about the space in its directory. */
export interface NewFile {
  readonly target: LocalSink;
  readonly space: Space;
}

/**
 * Creates a file as `directory.create` does. If it cannot be found out how much space there is, no unfinished file is
 * left.
 */
export async function newFileIn(
  directory: Directory,
  name: string,
  expectedBytes: number | undefined,
): Promise<NewFile> {
  const target = await directory.create(name, expectedBytes);
  try {
    return { target, space: await directory.space() };
  } catch (error) {
    await target[Symbol.asyncDispose]();
    throw error;
  }
}
