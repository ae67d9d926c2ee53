import { createHash } from 'node:crypto';
import type { Channel } from '../protocol/channel.ts';
import type { StoreConversation } from '../protocol/conversation.ts';
import { PROGRESS_INTERVAL, PROTOCOL_VERSION } from '../protocol/limits.ts';
import type { Message, MessageOf } from '../protocol/messages.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { untilAborted } from '../protocol/timeout.ts';
import type { Space } from '../shared/space.ts';
import type { LocalSink } from '../storage/local-streams.ts';
import { stopCommands } from '../storage/shell-command.ts';
import { StorageFailure } from '../storage/storage-failure.ts';

interface Received {
  /** The length of the whole file. */
  readonly bytes: number;
  /** Of what dom0 sent, without what was copied. */
  readonly sha256: Buffer;
}

/** Copies the range that a Copy names into the target. */
export type CopyRange = (message: MessageOf<'copy'>) => Promise<void>;

/** How a stream is received. */
interface Receiving {
  readonly signal: AbortSignal;
  /** The first message after the request, which is already being received. */
  readonly first: Promise<Message>;
  /** Serves Copy; undefined: the service has none. */
  readonly copy?: CopyRange;
}

/**
 * Waits for a target to be opened, unless the channel is closed, or is used too early: a command may take forever. It is
 * then stopped, and a file that has just been created is removed.
 *
 * @param first the first message after the request
 */
export async function untilClosed<T extends { readonly target: LocalSink }>(
  opening: Promise<T>,
  first: Promise<Message>,
): Promise<T> {
  const closed = new AbortController();
  first.catch((error: unknown) => closed.abort(error));
  try {
    return await untilAborted(opening, closed.signal);
  } catch (error) {
    await stopCommands();
    const [opened] = await Promise.allSettled([opening]);
    if (opened.status === 'fulfilled') await opened.value.target[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Receives what dom0 sends for an opened target, from Ready to Stored. Throws StorageFailure, the channel's errors, the
 * signal's reason.
 */
export async function receiveStream(
  channel: Channel<StoreConversation>,
  target: LocalSink,
  space: Space,
  { signal, first, copy = neverAsked }: Receiving,
): Promise<void> {
  const path = target.path ?? '';
  const version = PROTOCOL_VERSION;
  await channel.send({ kind: 'ready', version, path, ...space });
  await using heartbeat = new Heartbeat(channel, target, signal);
  const received = await receive(channel, target, copy, first, heartbeat.signal);
  await untilAborted(target.finish(), heartbeat.signal);
  await heartbeat.stop();
  await channel.send({ kind: 'stored', path, ...received });
}

function neverAsked(): Promise<void> {
  return Promise.reject(new ProtocolError('a Copy in a Store'));
}

/** Receives everything up to End, which must agree with the data. */
async function receive(
  channel: Channel<StoreConversation>,
  target: LocalSink,
  copy: CopyRange,
  first: Promise<Message>,
  signal: AbortSignal,
): Promise<Received> {
  const hash = createHash('sha256');
  let bytes = 0;
  for (let message = await first; ; message = await channel.receive()) {
    if (message.kind === 'data') {
      const writing = target.write(message.bytes);
      // While the write is in progress.
      hash.update(message.bytes);
      bytes += message.bytes.length;
      await untilAborted(writing, signal);
    } else if (message.kind === 'copy') {
      bytes += message.length;
      await untilAborted(copy(message), signal);
    } else if (message.kind === 'end') {
      const received = { bytes, sha256: hash.digest() };
      requireAgreement(message, received);
      return received;
    } else {
      throw new ProtocolError(`${message.kind} in the middle of the data`);
    }
  }
}

function requireAgreement(end: MessageOf<'end'>, received: Received): void {
  if (end.bytes === received.bytes && end.sha256.equals(received.sha256)) return;
  throw new StorageFailure('CORRUPTED', 'what arrived is not what dom0 sent');
}

/**
 * Sends Progress at regular intervals. When that fails, dom0 is gone, and `signal` fires: this is noticed even while
 * the target is blocked and so nothing is received.
 */
class Heartbeat implements AsyncDisposable {
  readonly signal: AbortSignal;
  readonly #isGone = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #sending: Promise<void> | undefined;

  constructor(channel: Channel<StoreConversation>, target: LocalSink, signal: AbortSignal) {
    this.signal = AbortSignal.any([signal, this.#isGone.signal]);
    this.#timer = setInterval(() => {
      this.#sending ??= channel
        .send({ kind: 'progress', bytes: target.safeBytes })
        .catch((error: unknown) => this.#isGone.abort(error))
        .finally(() => {
          this.#sending = undefined;
        });
    }, PROGRESS_INTERVAL);
  }

  /** Stops sending. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
