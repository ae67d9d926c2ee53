import type { Channel } from '../protocol/channel.ts';
import type { FetchConversation } from '../protocol/conversation.ts';
import { LONGEST_DATA, PROTOCOL_VERSION } from '../protocol/limits.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { ChannelClosedError, ProtocolError } from '../protocol/protocol-error.ts';
import { untilAborted } from '../protocol/timeout.ts';
import type { ByteSource } from '../storage/byte-streams.ts';
import { RegularFile } from '../storage/regular-file.ts';
import { CommandSource } from '../storage/shell-command.ts';
import { requireVersion } from './failure.ts';
import { requireCommand, resolveLocation } from './location.ts';

/** Serves coffer.Fetch: gives a stream as far as dom0's credit goes, until dom0 closes the channel. */
export async function fetch(channel: Channel<FetchConversation>, signal: AbortSignal) {
  const request = await channel.expect('fetchRequest');
  requireVersion(request.version);
  await using source = await openSource(request);
  await channel.send({
    kind: 'ready',
    version: PROTOCOL_VERSION,
    path: source.path ?? '',
    size: source.size,
    seekable: source.size !== undefined,
  });
  const requests = new Requests(channel, source);
  await give(channel, source, requests, AbortSignal.any([signal, requests.over]));
}

async function openSource(request: MessageOf<'fetchRequest'>): Promise<ByteSource> {
  const { file = '', command } = request;
  if (command !== undefined) return new CommandSource(requireCommand(command));
  // What has been read is sent before anything else is read.
  return RegularFile.open(resolveLocation(file), Buffer.allocUnsafeSlow(LONGEST_DATA));
}

async function give(
  channel: Channel<FetchConversation>,
  source: ByteSource,
  requests: Requests,
  signal: AbortSignal,
): Promise<void> {
  const { conversation } = channel;
  try {
    for (;;) {
      if (conversation.credit === 0) await untilAborted(requests.next(), signal);
      const most = Math.min(conversation.credit, LONGEST_DATA);
      if (most === 0) continue;
      const bytes = await untilAborted(source.next(most), signal);
      const offset = conversation.position;
      const sending = channel.send(
        bytes === undefined
          ? { kind: 'end', bytes: offset, sha256: Buffer.alloc(0) }
          : { kind: 'data', offset, bytes },
      );
      // When dom0 is gone, qrexec shuts our input only, and what we write may wait for ever.
      await untilAborted(sending, signal);
    }
  } catch (error) {
    // The way in which every Fetch ends.
    if (!(error instanceof ChannelClosedError)) throw error;
  }
}

/** Receives what dom0 asks for, Read and Seek, while data is on its way. */
class Requests {
  readonly #over = new AbortController();
  #wake: (() => void) | undefined;

  constructor(channel: Channel<FetchConversation>, source: ByteSource) {
    this.#listen(channel, source).catch((error: unknown) => this.#over.abort(error));
  }

  /** Fires when nothing more can come; its reason tells why. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** The next Read or Seek. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #listen(channel: Channel<FetchConversation>, source: ByteSource): Promise<never> {
    for (;;) {
      const message = await channel.receive();
      // The conversation counts the credit; a Seek comes only while nothing is being read.
      if (message.kind === 'seek') source.seek(message.offset);
      else if (message.kind !== 'read') throw new ProtocolError(`${message.kind} in a Fetch`);
      this.#wake?.();
    }
  }
}
