import { homedir } from 'node:os';
import type { Channel } from '../protocol/channel.ts';
import type { StoreConversation } from '../protocol/conversation.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { requireCommand } from '../storage/command-directory.ts';
import { type NewFile, newFileIn } from '../storage/new-file.ts';
import { openDirectory } from '../storage/open-directory.ts';
import { CommandSink } from '../storage/shell-command.ts';
import { requireVersion } from './request-checks.ts';
import { receiveStream, untilClosed } from './receive-stream.ts';

/** Serves coffer.Store: takes a stream, and answers Stored when all of it is safe. */
export async function store(channel: Channel<StoreConversation>, signal: AbortSignal) {
  const request = await channel.expect('storeRequest');
  requireVersion(request.version);
  const first = channel.receive();
  const { target, space } = await untilClosed(openTarget(request), first);
  await using taking = target;
  await receiveStream(channel, taking, space, { signal, first });
}

async function openTarget(request: MessageOf<'storeRequest'>): Promise<NewFile> {
  const { directory = '', command, through, fileName, expectedBytes } = request;
  if (command !== undefined) {
    return { target: new CommandSink({ command: requireCommand(command) }), space: {} };
  }
  const place = openDirectory(homedir(), { directory, through });
  return newFileIn(place, fileName, expectedBytes);
}
