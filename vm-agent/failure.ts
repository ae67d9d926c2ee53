import { PROTOCOL_VERSION } from '../protocol/limits.ts';
import type { Failure, FailureCode } from '../protocol/messages.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { InterruptedError, StorageError, messageOf } from '../shared/errors.ts';
import { StorageProblem } from '../storage/storage-problem.ts';

/** The longest message that goes into a Failure, in characters. */
const LONGEST_MESSAGE = 1_000;

/** dom0 speaks another version of the protocol. */
export class VersionError extends StorageError {}

export function requireVersion(version: number): void {
  if (version === PROTOCOL_VERSION) return;
  throw new VersionError(`dom0 asks for version ${version}, this agent has ${PROTOCOL_VERSION}`);
}

/** What dom0 is told of an error. */
export function failureOf(error: unknown): Failure {
  const problem =
    error instanceof StorageProblem ? error : new StorageProblem(codeOf(error), messageOf(error));
  return { ...problem.failure, message: problem.message.slice(0, LONGEST_MESSAGE) };
}

function codeOf(error: unknown): FailureCode {
  if (error instanceof VersionError) return 'VERSION';
  if (error instanceof ProtocolError) return 'PROTOCOL';
  if (error instanceof InterruptedError) return 'CANCELLED';
  return 'UNSPECIFIED';
}
