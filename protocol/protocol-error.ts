import type { Failure } from './messages.ts';

/** The channel to the other side is of no use any more. The message is fit to be shown. */
export class ChannelError extends Error {}

/** The other side does not keep to the protocol. */
export class ProtocolError extends ChannelError {}

/** The stream ends within a message: so does that of an honest process that is killed. */
export class CutShortError extends ProtocolError {}

/** The channel ended where the protocol does not let it. */
export class ChannelClosedError extends ChannelError {}

/** The other side was silent, or took nothing, for longer than it may. */
export class TimeoutError extends ChannelError {}

/** The other side gave up and said why. */
export class PeerFailure extends ChannelError {
  readonly untrustedFailure: Failure;

  constructor(peer: string, untrustedFailure: Failure) {
    super(`${peer} gave up: ${untrustedFailure.code}`);
    this.untrustedFailure = untrustedFailure;
  }
}
