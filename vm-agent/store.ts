import { homedir } from 'node:os';
import type { Channel } from '../protocol/channel.ts';
import type { StoreConversation } from '../protocol/conversation.ts';
import type { MessageOf } from '../protocol/messages.ts';
import type { Space } from '../shared/space.ts';
import { AtomicFile } from '../storage/atomic-file.ts';
import { spaceIn } from '../storage/list-directory.ts';
import type { LocalSink } from '../storage/local-streams.ts';
import { resolvePath } from '../storage/resolve-path.ts';
import { CommandSink } from '../storage/shell-command.ts';
import { requireCommand, requireVersion } from './request-checks.ts';
import { receiveStream } from './receive-stream.ts';

type StoreRequest = MessageOf<'storeRequest'>;

/** Serves coffer.Store: takes a stream, and answers Stored when all of it is safe. */
export async function store(channel: Channel<StoreConversation>, signal: AbortSignal) {
  const request = await channel.expect('storeRequest');
  requireVersion(request.version);
  await using target = await openTarget(request);
  await receiveStream(channel, target, await spaceFor(request), signal);
}

async function openTarget(request: StoreRequest): Promise<LocalSink> {
  const { directory = '', command, fileName, expectedBytes } = request;
  if (command !== undefined) return new CommandSink(requireCommand(command));
  return AtomicFile.create(resolvePath(homedir(), directory), fileName, expectedBytes);
}

async function spaceFor({ directory }: StoreRequest): Promise<Space> {
  return directory === undefined ? {} : spaceIn(resolvePath(homedir(), directory));
}
