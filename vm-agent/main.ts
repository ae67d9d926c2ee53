import { AssembleConversation } from '../protocol/assemble-conversation.ts';
import { Channel } from '../protocol/channel.ts';
import { BrowseConversation, StoreConversation } from '../protocol/conversation.ts';
import type { Conversation } from '../protocol/conversation.ts';
import { DeleteConversation } from '../protocol/delete-conversation.ts';
import { FetchConversation } from '../protocol/fetch-conversation.ts';
import type { Failure, FailureCode } from '../protocol/messages.ts';
import { ChannelError, ProtocolError } from '../protocol/protocol-error.ts';
import {
  ExitStatus,
  InterruptedError,
  StorageError,
  firstOf,
  messageOf,
} from '../shared/errors.ts';
import { stopCommands } from '../storage/shell-command.ts';
import { StorageFailure } from '../storage/storage-failure.ts';
import { assemble } from './assemble.ts';
import { browse } from './browse.ts';
import { deleteBackups } from './delete.ts';
import { fetch } from './fetch.ts';
import { standardInput } from './standard-input.ts';
import { store } from './store.ts';

/** How long dom0 has, in milliseconds, to accept the message that says why this agent failed. */
const LAST_MESSAGE_LIMIT = 5_000;
/** The longest text in that message, in characters. */
const LONGEST_MESSAGE = 1_000;

const USAGE = `Usage: coffer-vm-agent Store|Fetch|Browse|Delete|Assemble

Runs in a storage VM, as a qrexec service: it speaks coffer's protocol with dom0 on its standard
input and output, and stores, sends, lists, deletes or assembles what dom0 asks for.
`;

/** Opens a channel to dom0 on standard input and output. */
function channelOf<C extends Conversation>(conversation: C, signal: AbortSignal): Channel<C> {
  const input = standardInput();
  const output = process.stdout;
  // Each message is processed before the next is received.
  const reusesMemory = true;
  return new Channel({
    side: 'vm',
    conversation,
    peer: 'dom0',
    input,
    output,
    signal,
    reusesMemory,
  });
}

async function serve(service: string | undefined, signal: AbortSignal): Promise<ExitStatus> {
  switch (service) {
    case 'Store': {
      const channel = channelOf(new StoreConversation(), signal);
      return orFailure(channel, store(channel, signal));
    }
    case 'Fetch': {
      const channel = channelOf(new FetchConversation(), signal);
      return orFailure(channel, fetch(channel, signal));
    }
    case 'Browse': {
      const channel = channelOf(new BrowseConversation(), signal);
      return orFailure(channel, browse(channel));
    }
    case 'Delete': {
      const channel = channelOf(new DeleteConversation(), signal);
      return orFailure(channel, deleteBackups(channel));
    }
    case 'Assemble': {
      const channel = channelOf(new AssembleConversation(), signal);
      return orFailure(channel, assemble(channel, signal));
    }
    case undefined:
    default:
      process.stderr.write(USAGE);
      return ExitStatus.usage;
  }
}

/** Tells dom0, and the VM's log, when a service fails. */
async function orFailure(
  channel: Channel<Conversation>,
  service: Promise<void>,
): Promise<ExitStatus> {
  try {
    await service;
    return ExitStatus.done;
  } catch (thrown) {
    const error = firstOf(thrown);
    process.stderr.write(`coffer-vm-agent: ${messageOf(error)}\n`);
    await channel.sendFailure(failureOf(error), LAST_MESSAGE_LIMIT);
    const isExpected = error instanceof StorageError || error instanceof ChannelError;
    return isExpected ? ExitStatus.storage : ExitStatus.failed;
  }
}

/** What is sent to dom0 for an error. */
function failureOf(error: unknown): Failure {
  const { failure, message } =
    error instanceof StorageFailure ? error : new StorageFailure(codeOf(error), messageOf(error));
  return { ...failure, message: message.slice(0, LONGEST_MESSAGE) };
}

function codeOf(error: unknown): FailureCode {
  if (error instanceof ProtocolError) return 'PROTOCOL';
  if (error instanceof InterruptedError) return 'CANCELLED';
  return 'UNSPECIFIED';
}

const stopping = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => stopping.abort(new InterruptedError(`it was terminated by ${signal}`)));
}
// A limit on file sizes then causes a write error, instead of killing this program.
process.on('SIGXFSZ', () => undefined);

void serve(process.argv[2], stopping.signal).then(async (status) => {
  await stopCommands();
  process.exit(status);
});
