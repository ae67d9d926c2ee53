import type { Channel } from '../protocol/channel.ts';
import type { Conversation } from '../protocol/conversation.ts';

/**
 * A signal that fires when dom0 closes the channel, or sends anything: it may send nothing after its request. When dom0
 * is gone, qrexec closes only our input, so a write could block forever.
 */
export function abortWhenClosed(channel: Channel<Conversation>): AbortSignal {
  const over = new AbortController();
  channel.receive().catch((error: unknown) => over.abort(error));
  return over.signal;
}
