import { StorageError } from '../shared/errors.ts';
import type { Failure } from './messages.ts';

/** The other side does not keep to the protocol. */
export class ProtocolError extends StorageError {}

/** The stream ends within a message: so does that of an honest process that is killed. */
export class CutShortError extends ProtocolError {}

/** The channel ended where the protocol does not let it. */
export class ChannelClosedError extends StorageError {}

/** The other side was silent, or took nothing, for longer than it may. */
export class SilenceError extends StorageError {}

/** The other side gave up and said why. */
export class PeerFailure extends StorageError {
  readonly untrustedFailure: Failure;

  constructor(peer: string, untrustedFailure: Failure) {
    super(`${peer} gave up: ${untrustedFailure.code}`);
    this.untrustedFailure = untrustedFailure;
  }
}
