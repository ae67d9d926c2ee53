import type { FetchConversation } from '../protocol/fetch-conversation.ts';
import { untilEachAborted } from '../protocol/timeout.ts';
import { requireCommand } from '../storage/command-directory.ts';
import { CommandSource } from '../storage/shell-command.ts';
import type { Asker } from './fetch.ts';

/**
 * Sends the output of a command as far as dom0's credit goes, and End when there is no more. Never resolves: throws
 * when dom0 closes the channel, and StorageFailure if the command fails.
 *
 * @param begin reports to dom0 that the command is running
 */
export async function sendCommandOutput(
  command: string,
  stream: FetchConversation['stream'],
  begin: () => Promise<Asker>,
): Promise<never> {
  await using source = new CommandSource({ command: requireCommand(command) });
  const { next, answer, over } = await begin();
  for (;;) {
    await next();
    if (stream.credit === 0) continue;
    let offset = stream.position;
    const end = offset + stream.credit;
    for await (const bytes of untilEachAborted(source.read(offset, end), over)) {
      await answer({ kind: 'data', offset, bytes });
      offset += bytes.length;
    }
    if (offset < end) await answer({ kind: 'end', bytes: offset, sha256: Buffer.alloc(0) });
  }
}
