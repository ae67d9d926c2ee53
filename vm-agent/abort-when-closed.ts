import type { Channel } from '../protocol/channel.ts';
import type { Conversation } from '../protocol/conversation.ts';

/**
 * Fires when dom0 closes the channel, or sends anything: after its request it may send nothing.
 * When dom0 is gone, qrexec closes only our input, and a write may block forever.
 */
export function abortWhenClosed(channel: Channel<Conversation>): AbortSignal {
  const over = new AbortController();
  channel.receive().catch((error: unknown) => over.abort(error));
  return over.signal;
}
