import { homedir } from 'node:os';
import type { AssembleConversation } from '../protocol/assemble-conversation.ts';
import type { Channel } from '../protocol/channel.ts';
import { FileRanges } from '../storage/file-ranges.ts';
import { newFileIn } from '../storage/new-file.ts';
import { openDirectory } from '../storage/open-directory.ts';
import { requireVersion } from './request-checks.ts';
import { receiveStream } from './receive-stream.ts';

/** Serves coffer.Assemble: like Store, but the new file can also take ranges of other files in its directory. */
export async function assemble(channel: Channel<AssembleConversation>, signal: AbortSignal) {
  const request = await channel.expect('assembleRequest');
  requireVersion(request.version);
  const { fileName, expectedBytes } = request;
  const directory = openDirectory(homedir(), { directory: request.directory });
  const { target, space } = await newFileIn(directory, fileName, expectedBytes);
  await using taking = target;
  await using ranges = new FileRanges(directory);
  await receiveStream(channel, taking, space, signal, ({ fileName, offset, length }) =>
    ranges.copy(fileName, offset, length, taking),
  );
}
