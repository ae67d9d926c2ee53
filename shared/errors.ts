import { printable } from './printable.ts';
import { subjectOf, systemWordsOf } from './system-errors.ts';

export { systemCodeOf } from './system-errors.ts';

/**
 * What a program of coffer's ends with. The numbers are part of the command line's contract
 * and are listed in `coffer --help`.
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
 * An error that is told to the user as it is: one sentence that names the thing and, where there
 * is one, the remedy. Never holds a secret, nor text from the other side that was not cleaned
 * by `printable`.
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

/** The words of the command line do not fit. */
export class UsageError extends CofferError {
  readonly exitStatus = ExitStatus.usage;
}

/** The passphrase does not verify the header of the backup. */
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
 * The message of whatever was thrown: that of a system error is in plain words, and ends with the file it is
 * about.
 */
export function messageOf(error: unknown): string {
  const words = systemWordsOf(error);
  const subject = subjectOf(error);
  if (words === undefined || subject === undefined) return reasonOf(error);
  return `${words} (${printable(subject)})`;
}

/** The same, where the sentence before it has named the file already. */
export function reasonOf(error: unknown): string {
  return systemWordsOf(error) ?? (error instanceof Error ? error.message : String(error));
}
