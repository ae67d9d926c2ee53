import type { Failure, FailureCode } from '../../protocol/messages.ts';
import { ChannelError, PeerFailure } from '../../protocol/protocol-error.ts';
import { RefusedError, StorageError, messageOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { StorageFailure } from '../../storage/storage-failure.ts';
import type { NamedPlace } from './location.ts';

/** How much of the end of a process's standard error is shown, in characters. */
const LONGEST_TAIL = 600;

/** If the answer to the request is one of these, nothing has been done. */
const REFUSALS: ReadonlySet<FailureCode> = new Set([
  'BAD_REQUEST',
  'NOT_FOUND',
  'NOT_A_DIRECTORY',
  'NOT_A_FILE',
  'PERMISSION',
  'READ_ONLY',
  'EXISTS',
  'NO_SPACE',
  'VERSION',
]);

/** A request that the storage refused before anything was done; `code` says why. */
export class StorageRefusal extends RefusedError {
  readonly code: FailureCode;

  constructor(code: FailureCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The storage does not offer to delete or assemble: there, files are only ever added. */
export class NotOfferedError extends RefusedError {}

/** Whether an error is a StorageRefusal with this code. */
export function isRefusal(error: unknown, code: FailureCode): boolean {
  return error instanceof StorageRefusal && error.code === code;
}

/**
 * Converts any error of a storage to one for the user: one sentence that names the VM and the path.
 *
 * @param hasBegun whether the request had been accepted: then it is no longer a refusal
 */
export function toUserError(error: unknown, place: NamedPlace, hasBegun: boolean): Error {
  const untrusted = failureOf(error);
  if (untrusted === undefined) {
    if (error instanceof Error && !(error instanceof ChannelError)) return error;
    return new StorageError(messageOf(error), { cause: error });
  }
  const sentence = sentenceFor(untrusted, place);
  return !hasBegun && REFUSALS.has(untrusted.code)
    ? new StorageRefusal(untrusted.code, sentence, { cause: error })
    : new StorageError(sentence, { cause: error });
}

function failureOf(error: unknown): Failure | undefined {
  if (error instanceof PeerFailure) return error.untrustedFailure;
  return error instanceof StorageFailure ? error.failure : undefined;
}

function sentenceFor(untrusted: Failure, { owner, what, name }: NamedPlace): string {
  const message = printable(untrusted.message);
  switch (untrusted.code) {
    case 'NOT_FOUND':
      return what === 'directory'
        ? `The directory ${name} does not exist in ${owner}: create it there, or name another one.`
        : `The ${what} ${name} does not exist in ${owner}: check the path.`;
    case 'NOT_A_DIRECTORY':
      return `${name} in ${owner} is not a directory: name one that exists.`;
    case 'NOT_A_FILE':
      return `${name} in ${owner} is not a regular file: name the file of a backup.`;
    case 'PERMISSION':
      return `${owner} is not allowed to use the ${what} ${name}: check its owner and permissions.`;
    case 'READ_ONLY':
      return `The file system of ${name} in ${owner} is read-only: mount it so that it can be written to, or name another ${what}.`;
    case 'EXISTS':
      return `A file with the backup's name is already in ${name} of ${owner}: try again in a moment, or remove it (${message}).`;
    case 'NO_SPACE':
      return `There is not enough space in ${name} of ${owner}: free some, or name another ${what} (${message}).`;
    case 'TOO_LARGE':
      return (
        `The file system of ${name} in ${owner} does not accept a file of this size. On FAT, files must be smaller ` +
        'than 4 GiB: use a disk with another file system (ext4, btrfs, exFAT), or back up fewer VMs at a time. ' +
        'If it is not FAT, there is a limit on file sizes (`ulimit -f`).'
      );
    case 'COMMAND_FAILED':
      return `The command in ${owner} failed: ${message}${errorOutputOf(untrusted)}.`;
    case 'CORRUPTED':
      return `The data was damaged on its way to ${owner}: try again (${message}).`;
    case 'BAD_REQUEST':
      return `${owner} refuses the ${what} ${name}: ${message}.`;
    case 'VERSION':
      return `The coffer agents in dom0 and ${owner} are of different versions: install the same version in both (${message}).`;
    case 'CANCELLED':
      return `${owner} gave up: ${message}.`;
    case 'PROTOCOL':
    case 'IO':
    case 'UNSPECIFIED':
      return `The ${what} ${name} in ${owner} failed: ${message}.`;
  }
}

/** The last lines that a command wrote before it failed. */
function errorOutputOf(untrusted: Failure): string {
  const tail = printableTail(untrusted.stderrTail);
  return tail === '' ? '' : `; its error output: ${tail}`;
}

/** The last lines of a standard error as one printable line. */
export function printableTail(untrustedText: string): string {
  const lines = untrustedText.split(/\r?\n/).filter((line) => line.trim() !== '');
  return printable(lines.join(' / ').slice(-LONGEST_TAIL), LONGEST_TAIL);
}
