import { homedir } from 'node:os';
import type { AssembleConversation } from '../protocol/assemble-conversation.ts';
import type { Channel } from '../protocol/channel.ts';
import { FileRanges } from '../storage/file-ranges.ts';
import { openDirectory } from '../storage/open-directory.ts';
import { requireVersion } from './request-checks.ts';
import { receiveStream } from './receive-stream.ts';

/** Serves coffer.Assemble: like Store, but the new file can also take ranges of other files in its directory. */
export async function assemble(channel: Channel<AssembleConversation>, signal: AbortSignal) {
  const request = await channel.expect('assembleRequest');
  requireVersion(request.version);
  const { fileName, expectedBytes } = request;
  const directory = openDirectory(homedir(), { directory: request.directory });
  await using target = await directory.create(fileName, expectedBytes);
  await using ranges = new FileRanges(directory);
  const space = await directory.space();
  await receiveStream(channel, target, space, signal, ({ fileName, offset, length }) =>
    ranges.copy(fileName, offset, length, target),
  );
}
