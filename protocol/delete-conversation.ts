import { checkVersion, Conversation } from './conversation.ts';
import { MOST_NAMES } from './limits.ts';
import type { Message } from './messages.ts';
import { ProtocolError } from './protocol-error.ts';

/** DeleteRequest – Ready – an Outcome for each of its names, in their order. */
export class DeleteConversation extends Conversation {
  /** How many names still wait for their outcome. */
  #left = 0;

  constructor() {
    super({
      start: { 'dom0 deleteRequest': 'requested' },
      requested: { 'vm ready': 'open' },
      open: { 'vm outcome': 'open' },
    });
  }

  protected override check(message: Message): void {
    if (message.kind === 'ready') checkVersion(message.version);
    if (message.kind === 'outcome') this.#left -= 1;
    if (message.kind !== 'deleteRequest') return;
    this.#left = message.fileNames.length;
    if (this.#left > MOST_NAMES) throw new ProtocolError('there are too many names');
  }

  protected override isLast(message: Message): boolean {
    const isAnswer = message.kind === 'ready' || message.kind === 'outcome';
    return (isAnswer && this.#left === 0) || super.isLast(message);
  }
}
