import { printable } from './printable.ts';
import { subjectOf, systemWordsOf } from './system-errors.ts';

export { systemCodeOf } from './system-errors.ts';

/**
 * The exit statuses of coffer's programs. They are part of the command line's interface and listed in
 * `coffer --help`.
 */
export const ExitStatus = {
  done: 0,
  failed: 1,
  usage: 2,
  damaged: 3,
  storage: 4,
  refused: 5,
  interrupted: 130,
} as const;
export type ExitStatus = (typeof ExitStatus)[keyof typeof ExitStatus];

/**
 * An error that is shown to the user unchanged: one sentence that names the object and, if there is one, the remedy.
 * Never contains a secret, nor text from the other side that was not filtered by `printable`.
 */
export abstract class CofferError extends Error {
  abstract readonly exitStatus: ExitStatus;
  override get name(): string {
    return this.constructor.name;
  }
}

/** Something went wrong here, in dom0: a volume cannot be read, a program fails. */
export class FailedError extends CofferError {
  readonly exitStatus = ExitStatus.failed;
}

/** The command line is invalid. */
export class UsageError extends CofferError {
  readonly exitStatus = ExitStatus.usage;
}

/** The header of the backup cannot be authenticated with the passphrase. */
export class WrongPassphraseError extends CofferError {
  readonly exitStatus = ExitStatus.damaged;
}

/** The backup is damaged, incomplete, forged, or not a backup at all. */
export class DamagedError extends CofferError {
  readonly exitStatus = ExitStatus.damaged;
}

/** The storage VM, the channel to it, or the storage behind it failed. */
export class StorageError extends CofferError {
  readonly exitStatus = ExitStatus.storage;
}

/** Refused before anything was done: a VM is running, a name is taken, there is no space. */
export class RefusedError extends CofferError {
  readonly exitStatus = ExitStatus.refused;
}

/** The user, or the system, asked coffer to stop. */
export class InterruptedError extends CofferError {
  readonly exitStatus = ExitStatus.interrupted;
}

/**
 * What was thrown first: cleaning up after an error may fail as well, and `await using` then throws one error that has
 * both.
 */
export function firstOf(error: unknown): unknown {
  let first = error;
  while (first instanceof Error && first.name === 'SuppressedError' && 'suppressed' in first) {
    first = first.suppressed;
  }
  return first;
}

/**
 * The message of whatever was thrown; a system error is put in plain words, followed by the file it is about.
 */
export function messageOf(thrown: unknown): string {
  const error = firstOf(thrown);
  const words = systemWordsOf(error);
  const subject = subjectOf(error);
  if (words === undefined || subject === undefined) return reasonOf(error);
  return `${words} (${printable(subject)})`;
}

/** The same, for a sentence that already names the file. */
export function reasonOf(thrown: unknown): string {
  const error = firstOf(thrown);
  return systemWordsOf(error) ?? (error instanceof Error ? error.message : String(error));
}
