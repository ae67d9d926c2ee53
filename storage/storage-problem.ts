import { StorageError, reasonOf, systemCodeOf } from '../shared/errors.ts';

/** What can be wrong with a place where archives are kept. */
export type ProblemKind =
  | 'bad-request'
  | 'not-found'
  | 'not-a-directory'
  | 'not-a-file'
  | 'permission'
  | 'read-only'
  | 'exists'
  | 'no-space'
  | 'too-large'
  | 'command-failed'
  | 'io'
  | 'corrupted';

/** How a command ended that should not have ended so. */
export interface CommandEnd {
  readonly exitStatus: number | undefined;
  readonly signal: string;
  /** The end of its standard error. */
  readonly lastWords: string;
}

/**
 * A directory, file or command does not do what it is asked to. The same on both sides: the VM
 * agent makes a Failure of it, dom0 a sentence for the user.
 */
export class StorageProblem extends StorageError {
  readonly kind: ProblemKind;
  readonly commandEnd: CommandEnd | undefined;

  constructor(kind: ProblemKind, message: string, commandEnd?: CommandEnd, cause?: unknown) {
    super(message, { cause });
    this.kind = kind;
    this.commandEnd = commandEnd;
  }
}

const KINDS = new Map<string, ProblemKind>([
  ['ENOENT', 'not-found'],
  ['ENOTDIR', 'not-a-directory'],
  ['EISDIR', 'not-a-file'],
  // A socket, or a device without a driver.
  ['ENXIO', 'not-a-file'],
  ['EACCES', 'permission'],
  ['EPERM', 'permission'],
  ['EROFS', 'read-only'],
  ['EEXIST', 'exists'],
  ['ENOSPC', 'no-space'],
  ['EDQUOT', 'no-space'],
  ['EFBIG', 'too-large'],
  ['ENAMETOOLONG', 'bad-request'],
  ['ELOOP', 'bad-request'],
]);

/** The problem behind an error of the operating system. */
export function problemOf(error: unknown): StorageProblem {
  if (error instanceof StorageProblem) return error;
  const kind = KINDS.get(systemCodeOf(error) ?? '') ?? 'io';
  return new StorageProblem(kind, reasonOf(error), undefined, error);
}
