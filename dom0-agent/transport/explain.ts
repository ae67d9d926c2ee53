import type { Failure, FailureCode } from '../../protocol/messages.ts';
import { PeerFailure } from '../../protocol/protocol-error.ts';
import {
  CofferError,
  NameTakenError,
  NotAllowedError,
  NotFoundError,
  RefusedError,
  StorageError,
  messageOf,
} from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { StorageProblem } from '../../storage/storage-problem.ts';
import type { CommandEnd } from '../../storage/storage-problem.ts';
import { lastWords } from './last-words.ts';
import type { Place } from './place.ts';

/** What went wrong, from here or from the other side. */
interface Trouble {
  readonly code: FailureCode;
  readonly untrustedMessage: string;
  readonly commandEnd: CommandEnd | undefined;
}

/** With these, nothing has been done if they come as the answer to the request. */
const REFUSALS: ReadonlySet<FailureCode> = new Set([
  'bad-request',
  'not-found',
  'not-a-directory',
  'not-a-file',
  'permission',
  'read-only',
  'exists',
  'no-space',
  'version',
]);

/**
 * The error for the user, whatever was thrown while a place was used: one sentence that names the
 * VM and the path.
 *
 * @param hasBegun whether the request had been accepted: then it's no refusal any more
 */
export function explain(error: unknown, place: Place, hasBegun: boolean): Error {
  const trouble = troubleOf(error);
  if (trouble === undefined) {
    if (error instanceof CofferError) return error;
    return error instanceof Error ? error : new StorageError(messageOf(error));
  }
  const sentence = sentenceFor(trouble, place);
  const isRefusal = !hasBegun && REFUSALS.has(trouble.code);
  if (!isRefusal) return new StorageError(sentence, { cause: error });
  const Refusal = REFUSAL_CLASSES.get(trouble.code) ?? RefusedError;
  return new Refusal(sentence, { cause: error });
}

/** Those that callers tell from others. */
const REFUSAL_CLASSES: ReadonlyMap<FailureCode, typeof RefusedError> = new Map([
  ['exists', NameTakenError],
  ['not-found', NotFoundError],
  ['permission', NotAllowedError],
]);

function troubleOf(error: unknown): Trouble | undefined {
  if (error instanceof PeerFailure) return troubleOfPeer(error.untrustedFailure);
  if (!(error instanceof StorageProblem)) return undefined;
  return { code: error.kind, untrustedMessage: error.message, commandEnd: error.commandEnd };
}

function troubleOfPeer(untrusted: Failure): Trouble {
  const { exitStatus, signal, lastWords } = untrusted;
  return {
    code: untrusted.code,
    untrustedMessage: untrusted.message,
    commandEnd: { exitStatus, signal, lastWords },
  };
}

function sentenceFor({ code, untrustedMessage, commandEnd }: Trouble, place: Place): string {
  const { owner, what, name } = place;
  const message = printable(untrustedMessage);
  switch (code) {
    case 'not-found':
      return what === 'directory'
        ? `The directory ${name} does not exist in ${owner}: create it there, or name another one.`
        : `The ${what} ${name} does not exist in ${owner}: check the path.`;
    case 'not-a-directory':
      return `${name} in ${owner} is not a directory: name one that exists.`;
    case 'not-a-file':
      return `${name} in ${owner} is not a regular file: name the file of a backup.`;
    case 'permission':
      return `${owner} is not allowed to use the ${what} ${name}: check its owner and permissions.`;
    case 'read-only':
      return `The file system of ${name} in ${owner} is read-only: mount it so that it can be written to, or name another ${what}.`;
    case 'exists':
      return `A file of the backup's name is already in ${name} of ${owner}: try again in a moment, or remove it (${message}).`;
    case 'no-space':
      return `There is not enough space in ${name} of ${owner}: free some, or name another ${what} (${message}).`;
    case 'too-large':
      return (
        `The file system of ${name} in ${owner} does not take a file of this size. On a disk with FAT no file ` +
        'can have 4 GiB: use one with another file system (ext4, btrfs, exFAT), or back up fewer VMs at a time. ' +
        'If it is none, a limit is set there (`ulimit -f`).'
      );
    case 'command-failed':
      return `The command in ${owner} failed: ${message}${wordsOf(commandEnd)}.`;
    case 'corrupted':
      return `The data was damaged on its way to ${owner}: try again (${message}).`;
    case 'bad-request':
      return `${owner} refuses the ${what} ${name}: ${message}.`;
    case 'version':
      return `The coffer agents in dom0 and ${owner} do not fit together: install the same version in both (${message}).`;
    case 'cancelled':
      return `${owner} gave up: ${message}.`;
    case 'protocol':
    case 'io':
    case 'unspecified':
      return `The ${what} ${name} in ${owner} failed: ${message}.`;
  }
}

/** The last lines that a command wrote before it failed. */
function wordsOf(end: CommandEnd | undefined): string {
  const words = lastWords(end?.lastWords ?? '');
  return words === '' ? '' : `; its last words: ${words}`;
}
