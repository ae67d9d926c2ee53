import { Readable } from 'node:stream';
import type { Writable } from 'node:stream';
import { decodeFrame, encodeFrame } from './codec.ts';
import type { Conversation, Side } from './conversation.ts';
import { frames } from './framing.ts';
import { LONGEST_FRAME } from './limits.ts';
import type { Failure, Message, MessageKind, MessageOf } from './messages.ts';
import {
  ChannelClosedError,
  CutShortError,
  PeerFailure,
  ProtocolError,
  TimeoutError,
} from './protocol-error.ts';
import { withTimeout } from './timeout.ts';

export interface ChannelOptions<C extends Conversation> {
  /** Which side this is. */
  readonly side: Side;
  readonly conversation: C;
  /** The other side's name, for error messages: `sys-usb`, `dom0`. */
  readonly peer: string;
  readonly input: AsyncIterable<Buffer>;
  readonly output: Writable;
  readonly signal: AbortSignal;
  /** Saves memory: the bytes of a Data message are valid only until the next `receive`. */
  readonly reusesMemory?: boolean;
}

/**
 * Messages in order over a pair of byte streams. There is no queue: a message is read when `receive` is called, and
 * has been sent when `send` resolves. The creator of the streams closes them.
 */
export class Channel<C extends Conversation> {
  readonly conversation: C;
  readonly #options: ChannelOptions<C>;
  readonly #frames: AsyncGenerator<Buffer, void>;
  readonly #us: Side;
  readonly #them: Side;

  constructor(options: ChannelOptions<C>) {
    this.#options = options;
    this.conversation = options.conversation;
    this.#us = options.side;
    this.#them = options.side === 'dom0' ? 'vm' : 'dom0';
    this.#frames = frames(
      options.input,
      options.reusesMemory ? Buffer.allocUnsafeSlow(LONGEST_FRAME) : undefined,
    );
    // `send` and `receive` report what fails; the events only repeat it.
    options.output.on('error', () => undefined);
    if (options.input instanceof Readable) options.input.on('error', () => undefined);
  }

  /**
   * Sends a message; resolves when the operating system has taken it, bytes of Data included.
   * Messages leave in the order of the calls.
   *
   * @param milliseconds how long the other side may take to accept it; undefined: forever
   * @throws ChannelClosedError, TimeoutError, ProtocolError (our own bug), the signal's reason
   */
  async send(message: Message, milliseconds?: number): Promise<void> {
    // The other side has failed: `receive` reports its message.
    if (this.conversation.isOver) throw this.#closed();
    this.conversation.note(this.#us, message);
    await this.#withTimeout(
      this.#write(encodeFrame(message)),
      milliseconds,
      'has accepted no data',
    );
  }

  /**
   * Sends a Failure as the last message, unless the conversation is over because the other side failed first. Never
   * rejects, as the other side may be gone; an abort does not stop it.
   *
   * @param milliseconds how long the other side may take to accept it
   */
  async sendFailure(failure: Failure, milliseconds: number): Promise<void> {
    if (this.conversation.isOver) return;
    this.conversation.note(this.#us, failure);
    const late = () => new TimeoutError(`${this.#options.peer} accepts no data.`);
    await Promise.allSettled([withTimeout(this.#write(encodeFrame(failure)), milliseconds, late)]);
  }

  /**
   * The next message of the other side.
   *
   * @param milliseconds how long it may take to arrive completely; undefined: forever
   * @throws PeerFailure for a Failure, ProtocolError, ChannelClosedError, TimeoutError, the
   *   signal's reason
   */
  async receive(milliseconds?: number): Promise<Message> {
    const frame = await this.#withTimeout(this.#nextFrame(), milliseconds, 'has been silent');
    if (frame === undefined) throw this.#closed();
    const message = this.#blamingPeer(() => {
      const decoded = decodeFrame(frame);
      this.conversation.note(this.#them, decoded);
      return decoded;
    });
    if (message.kind === 'failure') throw new PeerFailure(this.#options.peer, message);
    if (message.kind !== 'data' || this.#options.reusesMemory === true) return message;
    return { ...message, bytes: withoutSurroundings(message.bytes) };
  }

  /** The next message, which must be of this kind; otherwise as `receive`. */
  async expect<K extends MessageKind>(kind: K, milliseconds?: number): Promise<MessageOf<K>> {
    const message = await this.receive(milliseconds);
    if (!isOfKind(message, kind)) {
      throw new ProtocolError(
        `${this.#options.peer} violated the protocol: ${message.kind} instead of ${kind}.`,
      );
    }
    return message;
  }

  async #nextFrame(): Promise<Buffer | undefined> {
    try {
      const result = await this.#frames.next();
      return result.done === true ? undefined : result.value;
    } catch (error) {
      const isViolation = error instanceof ProtocolError && !(error instanceof CutShortError);
      if (isViolation) return this.#blamingPeer(() => raise(error));
      throw this.#closed(error);
    }
  }

  /** Frames have at most two pieces, and the second needs no copy: hence cork instead of concat. */
  #write(pieces: Buffer[]): Promise<void> {
    const { output } = this.#options;
    return new Promise((resolve, reject) => {
      const written = (error?: Error | null) => (error ? reject(this.#closed(error)) : resolve());
      output.cork();
      pieces.forEach((piece, index) =>
        index === pieces.length - 1 ? output.write(piece, written) : output.write(piece),
      );
      output.uncork();
    });
  }

  #withTimeout<T>(promise: Promise<T>, milliseconds: number | undefined, what: string): Promise<T> {
    const { peer, signal } = this.#options;
    const late = () =>
      new TimeoutError(`${peer} ${what} for ${Math.round((milliseconds ?? 0) / 1000)} seconds.`);
    return withTimeout(promise, milliseconds, late, signal);
  }

  /** Runs a check of what the other side sent; its error says that the other side violated the protocol. */
  #blamingPeer<T>(check: () => T): T {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      const { peer } = this.#options;
      throw new ProtocolError(`${peer} violated the protocol: ${error.message}.`, { cause: error });
    }
  }

  #closed(cause?: unknown): ChannelClosedError {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'EPIPE';
    const when = cause instanceof CutShortError ? ' in the middle of a message' : '';
    const why = code === 'EPIPE' ? '' : ` (${code})`;
    return new ChannelClosedError(`${this.#options.peer} closed the channel${when}${why}.`, {
      cause,
    });
  }
}

/**
 * The same bytes, copied if they are the smaller part of the memory that they are in: whoever keeps a few bytes would keep
 * all of that, and the other side decides how much it is.
 */
function withoutSurroundings(bytes: Buffer): Buffer {
  return 2 * bytes.length < bytes.buffer.byteLength ? Buffer.from(bytes) : bytes;
}

function isOfKind<K extends MessageKind>(message: Message, kind: K): message is MessageOf<K> {
  return message.kind === kind;
}

function raise(error: Error): never {
  throw error;
}
