import { StorageRefusal } from '../transport/storage-errors.ts';

/** What a path hardly has, and most commands do. */
const SHELL_WORDS = /[|<>;&$]|\S \S/;

/**
 * The error that a location was refused with, and what was probably meant: qvm-backup takes a command as well, and the
 * name of a file that does not exist yet.
 *
 * @param parent the directory that the location would be in, if there is one
 */
export function advised(error: unknown, location: string, parent?: string): unknown {
  if (!(error instanceof StorageRefusal)) return error;
  if (error.code !== 'NOT_FOUND' && error.code !== 'NOT_A_DIRECTORY') return error;
  const advice = SHELL_WORDS.test(location)
    ? 'If it is a command, use --command.'
    : parent === undefined
      ? undefined
      : `coffer chooses the name of the file: to store the backup in ${parent}, name that directory.`;
  if (advice === undefined) return error;
  return new StorageRefusal(error.code, `${error.message} ${advice}`, { cause: error });
}
