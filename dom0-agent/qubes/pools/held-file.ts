import { open } from 'node:fs/promises';

import { cannotOpen } from './open-image.ts';

/** A file that can still be opened, even if another file has taken its name. */
export interface HeldFile extends AsyncDisposable {
  /** Where it can be opened until this is disposed of: `/proc/1234/fd/20`. */
  readonly path: string;
}

/**
 * Holds the file at `path`. Throws FailedError if it cannot be opened.
 *
 * @param label for messages: `the volume private of work`
 */
export type HoldFile = (path: string, label: string) => Promise<HeldFile>;

/** Holds a file with a descriptor of this process. */
export const holdFile: HoldFile = async (path, label) => {
  const file = await open(path, 'r').catch((error: unknown) => {
    throw cannotOpen(error, path, label);
  });
  return {
    path: `/proc/${process.pid}/fd/${file.fd}`,
    [Symbol.asyncDispose]: () => file.close(),
  };
};
