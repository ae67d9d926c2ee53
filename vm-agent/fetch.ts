import { homedir } from 'node:os';
import type { Channel } from '../protocol/channel.ts';
import type { FetchConversation } from '../protocol/fetch-conversation.ts';
import { PROTOCOL_VERSION } from '../protocol/limits.ts';
import type { Message } from '../protocol/messages.ts';
import { ChannelClosedError } from '../protocol/protocol-error.ts';
import { untilAborted } from '../protocol/timeout.ts';
import { openDirectory } from '../storage/open-directory.ts';
import { sendFiles } from './send-files.ts';
import { sendCommandOutput } from './send-command-output.ts';
import { requireVersion } from './request-checks.ts';

/** dom0's requests in a Fetch that has begun, and the way to answer them. */
export interface Asker {
  /** The next request of dom0. */
  readonly next: () => Promise<Message>;
  /** Whether one has arrived already. */
  readonly hasNext: () => boolean;
  readonly answer: (message: Message) => Promise<void>;
  /** Fires when there can be no more requests. */
  readonly over: AbortSignal;
}

/** Serves coffer.Fetch: files of a directory, or the output of a command, until dom0 closes the channel. */
export async function fetch(channel: Channel<FetchConversation>, signal: AbortSignal) {
  const request = await channel.expect('fetchRequest');
  requireVersion(request.version);
  try {
    if (request.command !== undefined) {
      await sendCommandOutput(request.command, channel.conversation.stream, () =>
        begin(channel, '', signal),
      );
    } else {
      const { directory: path = '', through } = request;
      const directory = openDirectory(homedir(), { directory: path, through });
      await directory.requireThere();
      await sendFiles(directory, await begin(channel, directory.path, signal));
    }
  } catch (error) {
    // The normal end of every Fetch.
    if (!(error instanceof ChannelClosedError)) throw error;
  }
}

/** Tells dom0 that its request can be served, and listens from then on: requests come while answers go out. */
async function begin(
  channel: Channel<FetchConversation>,
  path: string,
  signal: AbortSignal,
): Promise<Asker> {
  await channel.send({ kind: 'ready', version: PROTOCOL_VERSION, path });
  const ended = new AbortController();
  const over = AbortSignal.any([signal, ended.signal]);
  const requests: Message[] = [];
  let wake = (): void => undefined;
  const listen = async (): Promise<never> => {
    for (;;) {
      requests.push(await channel.receive());
      wake();
    }
  };
  listen().catch((error: unknown) => ended.abort(error));
  const next = async (): Promise<Message> => {
    for (;;) {
      const request = requests.shift();
      if (request !== undefined) return request;
      await untilAborted(new Promise<void>((resolve) => (wake = resolve)), over);
    }
  };
  const hasNext = (): boolean => requests.length > 0;
  // When dom0 is gone, qrexec closes only our input, and a write may block forever: hence the signal.
  return { next, hasNext, answer: (message) => untilAborted(channel.send(message), over), over };
}
