import { StorageRefusal } from '../transport/storage-errors.ts';

/** Characters that are common in commands and rare in paths. */
const SHELL_WORDS = /[|<>;&$]|\S \S/;

/**
 * The error that a location was refused with, with advice if the user probably meant something else: qvm-backup also
 * accepts a command, or the name of a new file.
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
