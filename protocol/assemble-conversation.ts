import { StoreConversation } from './conversation.ts';
import type { Message } from './messages.ts';
import { ProtocolError } from './protocol-error.ts';

/** AssembleRequest – Ready – Data and Copy in any order, End – Stored; Progress any time in between. */
export class AssembleConversation extends StoreConversation {
  /** `now`: a clock in milliseconds. */
  constructor(now?: () => number) {
    super(now, {
      start: { 'dom0 assembleRequest': 'requested' },
      requested: { 'vm ready': 'open' },
      open: {
        'dom0 data': 'open',
        'dom0 copy': 'open',
        'dom0 end': 'ended',
        'vm progress': 'open',
      },
      ended: { 'vm progress': 'ended', 'vm stored': 'over' },
    });
  }

  protected override check(message: Message): void {
    super.check(message);
    if (message.kind !== 'copy') return;
    if (message.length === 0) throw new ProtocolError('Copy of nothing');
    this.countSent(message.length);
  }
}
