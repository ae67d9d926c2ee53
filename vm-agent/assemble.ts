import { homedir } from 'node:os';
import type { AssembleConversation } from '../protocol/assemble-conversation.ts';
import type { Channel } from '../protocol/channel.ts';
import { FileRanges } from '../storage/file-ranges.ts';
import { newFileIn } from '../storage/new-file.ts';
import { openDirectory } from '../storage/open-directory.ts';
import { requireVersion } from './request-checks.ts';
import { type CopyRange, receiveStream, untilClosed } from './receive-stream.ts';

/** Serves coffer.Assemble: like Store, but the new file can also take ranges of other files in its directory. */
export async function assemble(channel: Channel<AssembleConversation>, signal: AbortSignal) {
  const request = await channel.expect('assembleRequest');
  requireVersion(request.version);
  const { fileName, expectedBytes } = request;
  const directory = openDirectory(homedir(), { directory: request.directory });
  const first = channel.receive();
  const opening = newFileIn(directory, fileName, expectedBytes);
  const { target, space } = await untilClosed(opening, first);
  await using taking = target;
  await using ranges = new FileRanges(directory);
  const copy: CopyRange = ({ fileName, offset, length }) =>
    ranges.copy(fileName, offset, length, taking);
  await receiveStream(channel, taking, space, { signal, first, copy });
}
