import type { Channel } from '../protocol/channel.ts';
import type { BrowseConversation } from '../protocol/conversation.ts';
import { ENTRIES_PER_MESSAGE, PROTOCOL_VERSION } from '../protocol/limits.ts';
import { listDirectory } from '../shared/list-directory.ts';
import { requireVersion } from './failure.ts';
import { resolveLocation } from './location.ts';

/** Serves coffer.Browse: what is in a directory, in no particular order, up to a limit. */
export async function browse(channel: Channel<BrowseConversation>) {
  const request = await channel.expect('browseRequest');
  requireVersion(request.version);
  const { path, freeBytes, entries, truncated } = await listDirectory(
    resolveLocation(request.directory),
  );
  const version = PROTOCOL_VERSION;
  await channel.send({ kind: 'ready', version, path, freeBytes, size: undefined, seekable: false });
  for (let at = 0; at < entries.length; at += ENTRIES_PER_MESSAGE) {
    const some = entries.slice(at, at + ENTRIES_PER_MESSAGE);
    await channel.send({ kind: 'entries', entries: some, last: false, truncated: false });
  }
  await channel.send({ kind: 'entries', entries: [], last: true, truncated });
}
