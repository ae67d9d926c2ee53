import { homedir } from 'node:os';
import { createHash } from 'node:crypto';
import type { Channel } from '../protocol/channel.ts';
import type { StoreConversation } from '../protocol/conversation.ts';
import { PROGRESS_INTERVAL, PROTOCOL_VERSION } from '../protocol/limits.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { ProtocolError } from '../protocol/protocol-error.ts';
import { untilAborted } from '../protocol/timeout.ts';
import type { LocalSink } from '../storage/local-streams.ts';
import { spaceIn } from '../storage/list-directory.ts';
import type { Space } from '../shared/space.ts';
import { CommandSink } from '../storage/shell-command.ts';
import { StorageFailure } from '../storage/storage-failure.ts';
import { AtomicFile } from '../storage/atomic-file.ts';
import { requireCommand, requireVersion } from './request-checks.ts';
import { resolvePath } from '../storage/resolve-path.ts';

type StoreRequest = MessageOf<'storeRequest'>;

interface Received {
  readonly bytes: number;
  readonly sha256: Buffer;
}

/** Serves coffer.Store: takes a stream, and answers Stored when all of it is safe. */
export async function store(channel: Channel<StoreConversation>, signal: AbortSignal) {
  const request = await channel.expect('storeRequest');
  requireVersion(request.version);
  await using target = await openTarget(request);
  await channel.send({
    kind: 'ready',
    version: PROTOCOL_VERSION,
    path: target.path ?? '',
    ...(await spaceFor(request)),
  });
  await using heartbeat = new Heartbeat(channel, target, signal);
  const received = await receive(channel, target, heartbeat.signal);
  await untilAborted(target.finish(), heartbeat.signal);
  await heartbeat.stop();
  await channel.send({ kind: 'stored', path: target.path ?? '', ...received });
}

async function openTarget(request: StoreRequest): Promise<LocalSink> {
  const { directory = '', command, fileName, expectedBytes } = request;
  if (command !== undefined) return new CommandSink(requireCommand(command));
  return AtomicFile.create(resolvePath(homedir(), directory), fileName, expectedBytes);
}

async function spaceFor({ directory }: StoreRequest): Promise<Space> {
  return directory === undefined ? {} : spaceIn(resolvePath(homedir(), directory));
}

/** Receives everything up to End, which must agree with the data. */
async function receive(
  channel: Channel<StoreConversation>,
  target: LocalSink,
  signal: AbortSignal,
): Promise<Received> {
  const hash = createHash('sha256');
  let bytes = 0;
  for (;;) {
    const message = await channel.receive();
    if (message.kind === 'data') {
      const writing = target.write(message.bytes);
      // While the write is in progress.
      hash.update(message.bytes);
      bytes += message.bytes.length;
      await untilAborted(writing, signal);
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
