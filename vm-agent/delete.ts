import { homedir } from 'node:os';
import type { Channel } from '../protocol/channel.ts';
import type { DeleteConversation } from '../protocol/delete-conversation.ts';
import { PROTOCOL_VERSION } from '../protocol/limits.ts';
import { untilAborted } from '../protocol/timeout.ts';
import { openDirectory } from '../storage/open-directory.ts';
import { requireVersion } from './request-checks.ts';
import { abortWhenClosed } from './abort-when-closed.ts';

/** Serves coffer.Delete: deletes backups in a directory, and reports for each name what happened to it. */
export async function deleteBackups(channel: Channel<DeleteConversation>) {
  const request = await channel.expect('deleteRequest');
  requireVersion(request.version);
  const directory = openDirectory(homedir(), request);
  await directory.requireDeletable(request.fileNames);
  const over = abortWhenClosed(channel);
  const ready = { version: PROTOCOL_VERSION, path: directory.path };
  await untilAborted(channel.send({ kind: 'ready', ...ready }), over);
  for (const name of request.fileNames) {
    // If dom0 has closed the channel, the user may have cancelled: nothing more is deleted.
    over.throwIfAborted();
    const outcome = await untilAborted(directory.deleteBackup(name), over);
    await untilAborted(channel.send({ kind: 'outcome', ...outcome }), over);
  }
}
