import { homedir } from 'node:os';
import type { Channel } from '../protocol/channel.ts';
import type { BrowseConversation } from '../protocol/conversation.ts';
import { ENTRIES_PER_MESSAGE, PROTOCOL_VERSION } from '../protocol/limits.ts';
import type { Message } from '../protocol/messages.ts';
import { ChannelClosedError } from '../protocol/protocol-error.ts';
import { untilAborted, untilEachAborted } from '../protocol/timeout.ts';
import { type NamedDirectory, openDirectory } from '../storage/open-directory.ts';
import { requireVersion } from './request-checks.ts';
import { abortWhenClosed } from './abort-when-closed.ts';

/** Serves coffer.Browse: the entries of a directory, in no particular order, up to a limit. */
export async function browse(channel: Channel<BrowseConversation>) {
  const request = await channel.expect('browseRequest');
  requireVersion(request.version);
  const over = abortWhenClosed(channel);
  try {
    for await (const message of untilEachAborted(answers(request), over)) {
      await untilAborted(channel.send(message), over);
    }
  } catch (error) {
    // dom0 needs no more.
    if (!(error instanceof ChannelClosedError)) throw error;
  }
}

async function* answers(request: NamedDirectory): AsyncGenerator<Message, void> {
  const { path, space, entries, truncated } = await openDirectory(homedir(), request).list();
  const version = PROTOCOL_VERSION;
  yield { kind: 'ready', version, path, ...space };
  for (let at = 0; at < entries.length; at += ENTRIES_PER_MESSAGE) {
    const some = entries.slice(at, at + ENTRIES_PER_MESSAGE);
    yield { kind: 'entries', entries: some, last: false, truncated: false };
  }
  yield { kind: 'entries', entries: [], last: true, truncated };
}
