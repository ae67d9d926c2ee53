import type { Failure } from './messages.ts';

/** The channel to the other side can no longer be used. The message is printable. */
export class ChannelError extends Error {}

/** The other side violated the protocol. */
export class ProtocolError extends ChannelError {}

/** The stream ends within a message, which also happens when an honest process is killed. */
export class CutShortError extends ProtocolError {}

/** The channel was closed where the protocol does not allow it. */
export class ChannelClosedError extends ChannelError {}

/** The other side was silent, or accepted no data, for too long. */
export class TimeoutError extends ChannelError {}

/** The other side gave up and said why. */
export class PeerFailure extends ChannelError {
  readonly untrustedFailure: Failure;

  constructor(peer: string, untrustedFailure: Failure) {
    super(`${peer} gave up: ${untrustedFailure.code}`);
    this.untrustedFailure = untrustedFailure;
  }
}
