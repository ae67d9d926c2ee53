import type { Failure, FailureCode } from '../protocol/messages.ts';
import { StorageError, reasonOf, systemCodeOf } from '../shared/errors.ts';

/** How a command ended that should not have ended so. */
export type CommandEnd = Pick<Failure, 'exitStatus' | 'signal' | 'lastWords'>;

const NO_COMMAND: CommandEnd = { signal: '', lastWords: '' };

/** A directory, file or command does not do what it is asked to. */
export class StorageProblem extends StorageError {
  /** The same on both sides: the VM agent sends it, dom0 makes a sentence for the user of it. */
  readonly failure: Failure;

  constructor(code: FailureCode, message: string, commandEnd = NO_COMMAND, cause?: unknown) {
    super(message, { cause });
    this.failure = { kind: 'failure', code, message, ...commandEnd };
  }
}

const CODES = new Map<string, FailureCode>([
  ['ENOENT', 'NOT_FOUND'],
  ['ENOTDIR', 'NOT_A_DIRECTORY'],
  ['EISDIR', 'NOT_A_FILE'],
  // A socket, or a device without a driver.
  ['ENXIO', 'NOT_A_FILE'],
  ['EACCES', 'PERMISSION'],
  ['EPERM', 'PERMISSION'],
  ['EROFS', 'READ_ONLY'],
  ['EEXIST', 'EXISTS'],
  ['ENOSPC', 'NO_SPACE'],
  ['EDQUOT', 'NO_SPACE'],
  ['EFBIG', 'TOO_LARGE'],
  ['ENAMETOOLONG', 'BAD_REQUEST'],
  ['ELOOP', 'BAD_REQUEST'],
]);

/** The problem behind an error of the operating system. */
export function problemOf(error: unknown): StorageProblem {
  if (error instanceof StorageProblem) return error;
  const code = CODES.get(systemCodeOf(error) ?? '') ?? 'IO';
  return new StorageProblem(code, reasonOf(error), undefined, error);
}
