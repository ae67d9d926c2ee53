import { MOST_ENTRIES, PROGRESS_BURST, PROGRESS_PER_SECOND, PROTOCOL_VERSION } from './limits.ts';
import type { Message, MessageKind } from './messages.ts';
import { ProtocolError } from './protocol-error.ts';

export type Service = 'Store' | 'Fetch' | 'Browse' | 'Delete' | 'Assemble';

/** Who speaks. */
export type Side = 'dom0' | 'vm';

type Turn = `${Side} ${MessageKind}`;
type State = 'start' | 'requested' | 'open' | 'ended' | 'over';
/** For each state: who may say what, and which state comes next. */
export type Turns = Partial<Record<State, Partial<Record<Turn, State>>>>;

/**
 * The order of the messages of one service, which both sides enforce: each side notes what it sends and receives.
 * A message that is not allowed in the current state is a ProtocolError. A Failure is allowed at any time before the
 * end, from either side.
 */
export abstract class Conversation {
  #state: State = 'start';
  readonly #turns: Turns;

  constructor(turns: Turns) {
    this.#turns = turns;
  }

  get isOver(): boolean {
    return this.#state === 'over';
  }

  /** Notes a message. Throws ProtocolError when it is out of order or its content does not fit. */
  note(side: Side, message: Message): void {
    const next = this.#next(side, message);
    if (next === undefined) throw new ProtocolError(`${message.kind} came out of turn`);
    this.check(message);
    this.#state = this.isLast(message) ? 'over' : next;
  }

  #next(side: Side, message: Message): State | undefined {
    if (message.kind === 'failure') return this.#state === 'over' ? undefined : 'over';
    return this.#turns[this.#state]?.[`${side} ${message.kind}`];
  }

  /** Throws ProtocolError when a message, though allowed now, does not agree with what came before. */
  protected abstract check(message: Message): void;

  /** Whether a message, already checked, ends the conversation in any state. */
  protected isLast(message: Message): boolean {
    return message.kind === 'failure';
  }
}

const STORE: Turns = {
  start: { 'dom0 storeRequest': 'requested' },
  requested: { 'vm ready': 'open' },
  open: { 'dom0 data': 'open', 'dom0 end': 'ended', 'vm progress': 'open' },
  ended: { 'vm progress': 'ended', 'vm stored': 'over' },
};

/** StoreRequest – Ready – Data…, End – Stored; Progress any time in between. */
export class StoreConversation extends Conversation {
  #sent = 0;
  #safe = 0;
  #progressLeft = PROGRESS_BURST;
  #lastProgress: number;
  readonly #now: () => number;

  /** `now`: a clock in milliseconds. */
  constructor(now = () => performance.now(), turns: Turns = STORE) {
    super(turns);
    this.#now = now;
    this.#lastProgress = now();
  }

  /** The bytes that the VM has reported as safe. */
  get safe(): number {
    return this.#safe;
  }

  protected override check(message: Message): void {
    if (message.kind === 'ready') checkVersion(message.version);
    if (message.kind === 'data') {
      if (message.offset !== this.#sent) throw new ProtocolError('Data is not in sequence');
      this.countSent(message.bytes.length);
    }
    if (message.kind === 'end' && message.sha256.length === 0) {
      throw new ProtocolError('End has no SHA-256');
    }
    if (message.kind === 'progress') this.#checkProgress(message.bytes);
  }

  /** Counts bytes of the new file that dom0 has sent, or has asked the VM to copy. */
  protected countSent(bytes: number): void {
    this.#sent += bytes;
    if (!Number.isSafeInteger(this.#sent)) throw new ProtocolError('the file is too long');
  }

  #checkProgress(bytes: number): void {
    const now = this.#now();
    const earned = ((now - this.#lastProgress) / 1000) * PROGRESS_PER_SECOND;
    this.#progressLeft = Math.min(this.#progressLeft + earned, PROGRESS_BURST) - 1;
    this.#lastProgress = now;
    if (this.#progressLeft < 0) throw new ProtocolError('there is a flood of Progress');
    if (bytes < this.#safe) throw new ProtocolError('Progress went backwards');
    if (bytes > this.#sent) throw new ProtocolError('Progress is ahead of what was sent');
    this.#safe = bytes;
  }
}

/** BrowseRequest – Ready – Entries, up to the last. */
export class BrowseConversation extends Conversation {
  #entries = 0;

  constructor() {
    super({
      start: { 'dom0 browseRequest': 'requested' },
      requested: { 'vm ready': 'open' },
      open: { 'vm entries': 'open' },
    });
  }

  protected override check(message: Message): void {
    if (message.kind === 'ready') checkVersion(message.version);
    if (message.kind !== 'entries') return;
    this.#entries += message.entries.length;
    if (this.#entries > MOST_ENTRIES) throw new ProtocolError('there are too many entries');
    if (message.last) return;
    if (message.entries.length === 0) throw new ProtocolError('Entries without an entry');
    if (message.truncated) throw new ProtocolError('Entries are cut before the last');
  }

  protected override isLast(message: Message): boolean {
    return (message.kind === 'entries' && message.last) || super.isLast(message);
  }
}

/** Throws ProtocolError when a Ready is of another version. */
export function checkVersion(version: number): void {
  if (version !== PROTOCOL_VERSION) {
    throw new ProtocolError(`version ${version} of the protocol instead of ${PROTOCOL_VERSION}`);
  }
}
