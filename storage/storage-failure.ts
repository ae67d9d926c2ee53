import type { Failure, FailureCode } from '../protocol/messages.ts';
import { StorageError, reasonOf, systemCodeOf } from '../shared/errors.ts';

/** How a failed command ended. */
export type CommandEnd = Pick<Failure, 'exitStatus' | 'signal' | 'stderrTail'>;

const NO_COMMAND: CommandEnd = { signal: '', stderrTail: '' };

/** An operation on a directory, file or command failed. */
export class StorageFailure extends StorageError {
  /** Used on both sides: the VM agent sends it, and dom0 turns it into a sentence for the user. */
  readonly failure: Failure;

  constructor(code: FailureCode, message: string, commandEnd = NO_COMMAND, cause?: unknown) {
    super(message, { cause });
    this.failure = { kind: 'failure', code, message, ...commandEnd };
  }

  /** The message with the error output of a failed command, for protocol messages without a field for that. */
  get inFull(): string {
    const { message, stderrTail } = this.failure;
    return stderrTail === '' ? message : `${message}; its error output: ${stderrTail}`;
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

/** Converts a system error; a StorageFailure is returned unchanged. */
export function toStorageFailure(error: unknown): StorageFailure {
  if (error instanceof StorageFailure) return error;
  const code = CODES.get(systemCodeOf(error) ?? '') ?? 'IO';
  return new StorageFailure(code, reasonOf(error), undefined, error);
}
