import { homedir } from 'node:os';
import type { Channel } from '../protocol/channel.ts';
import type { FetchConversation } from '../protocol/conversation.ts';
import { LONGEST_DATA, PROTOCOL_VERSION } from '../protocol/limits.ts';
import type { Message, MessageOf } from '../protocol/messages.ts';
import { ChannelClosedError, ProtocolError } from '../protocol/protocol-error.ts';
import { untilAborted, untilEachAborted } from '../protocol/timeout.ts';
import type { LocalSource } from '../storage/local-streams.ts';
import { RegularFile } from '../storage/regular-file.ts';
import { CommandSource } from '../storage/shell-command.ts';
import { requireCommand, requireVersion } from './request-checks.ts';
import { resolvePath } from '../storage/resolve-path.ts';

/** Serves coffer.Fetch: sends a stream as far as dom0's credit goes, until dom0 closes the channel. */
export async function fetch(channel: Channel<FetchConversation>, signal: AbortSignal) {
  const request = await channel.expect('fetchRequest');
  requireVersion(request.version);
  await using source = await openSource(request);
  await channel.send({
    kind: 'ready',
    version: PROTOCOL_VERSION,
    path: source.path ?? '',
    size: source.size,
    seekable: source.seekable,
  });
  const requests = new Requests(channel);
  await give(channel, source, requests, AbortSignal.any([signal, requests.over]));
}

async function openSource(request: MessageOf<'fetchRequest'>): Promise<LocalSource> {
  const { file = '', command } = request;
  if (command !== undefined) return new CommandSource(requireCommand(command));
  // A chunk has been sent before the next is read.
  return RegularFile.open(resolvePath(homedir(), file), Buffer.allocUnsafeSlow(LONGEST_DATA));
}

async function give(
  channel: Channel<FetchConversation>,
  source: LocalSource,
  requests: Requests,
  signal: AbortSignal,
): Promise<void> {
  const { conversation } = channel;
  try {
    for (;;) {
      if (conversation.credit === 0) await untilAborted(requests.next(), signal);
      else await useCredit(channel, source, signal);
    }
  } catch (error) {
    // The normal end of every Fetch.
    if (!(error instanceof ChannelClosedError)) throw error;
  }
}

/** Sends what dom0 has given credit for, and End when there is less. */
async function useCredit(
  channel: Channel<FetchConversation>,
  source: LocalSource,
  signal: AbortSignal,
): Promise<void> {
  const { position, credit } = channel.conversation;
  const end = position + credit;
  // When dom0 is gone, qrexec closes only our input, and a write may block forever: hence the signal.
  const send = (message: Message): Promise<void> => untilAborted(channel.send(message), signal);
  let offset = position;
  for await (const bytes of untilEachAborted(source.read(position, end), signal)) {
    await send({ kind: 'data', offset, bytes });
    offset += bytes.length;
  }
  if (offset < end) await send({ kind: 'end', bytes: offset, sha256: Buffer.alloc(0) });
}

/** Receives dom0's requests, Read and Seek, while data is being sent. */
class Requests {
  readonly #over = new AbortController();
  #wake: (() => void) | undefined;

  constructor(channel: Channel<FetchConversation>) {
    this.#listen(channel).catch((error: unknown) => this.#over.abort(error));
  }

  /** Fires when there can be no more requests; its reason says why. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** The next Read or Seek. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #listen(channel: Channel<FetchConversation>): Promise<never> {
    for (;;) {
      const message = await channel.receive();
      // The conversation tracks credit and position; a Seek is allowed only without credit.
      if (message.kind !== 'read' && message.kind !== 'seek') {
        throw new ProtocolError(`${message.kind} in a Fetch`);
      }
      this.#wake?.();
    }
  }
}
