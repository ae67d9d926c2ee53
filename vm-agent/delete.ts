import { homedir } from 'node:os';
import type { Channel } from '../protocol/channel.ts';
import type { DeleteConversation } from '../protocol/delete-conversation.ts';
import { PROTOCOL_VERSION } from '../protocol/limits.ts';
import { untilAborted } from '../protocol/timeout.ts';
import { deleteBackup, requireDeletable } from '../storage/delete-backups.ts';
import { resolvePath } from '../storage/resolve-path.ts';
import { requireVersion } from './request-checks.ts';
import { abortWhenClosed } from './abort-when-closed.ts';

/** Serves coffer.Delete: deletes backups in a directory, and reports for each name what happened to it. */
export async function deleteBackups(channel: Channel<DeleteConversation>) {
  const request = await channel.expect('deleteRequest');
  requireVersion(request.version);
  const path = resolvePath(homedir(), request.directory);
  await requireDeletable(path, request.fileNames);
  const over = abortWhenClosed(channel);
  const version = PROTOCOL_VERSION;
  await untilAborted(channel.send({ kind: 'ready', version, path }), over);
  for (const name of request.fileNames) {
    // Without dom0, which may have thought better of it, nothing more is deleted.
    over.throwIfAborted();
    const outcome = await deleteBackup(path, name);
    await untilAborted(channel.send({ kind: 'outcome', ...outcome }), over);
  }
}
