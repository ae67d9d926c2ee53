import { Conversation, checkVersion } from './conversation.ts';
import { MOST_CREDIT, MOST_HANDLES, MOST_REQUESTS } from './limits.ts';
import type { Message, MessageOf } from './messages.ts';
import { ProtocolError } from './protocol-error.ts';

/**
 * FetchRequest – Ready – and then, for a command, Read, Data… as far as the credit goes, and finally End; for a
 * directory, Open and Want, which are answered in order.
 */
export class FetchConversation extends Conversation {
  readonly stream = new StreamOrder();
  readonly files = new FilesOrder();
  #order: StreamOrder | FilesOrder = this.stream;

  constructor() {
    super({
      start: { 'dom0 fetchRequest': 'requested' },
      requested: { 'vm ready': 'open' },
      open: {
        ...{ 'dom0 read': 'open', 'vm data': 'open', 'vm end': 'ended' },
        ...{ 'dom0 open': 'open', 'dom0 want': 'open', 'vm opened': 'open', 'vm lacks': 'open' },
      },
      // A Read that crosses the End has no effect.
      ended: { 'dom0 read': 'ended' },
    });
  }

  protected override check(message: Message): void {
    if (message.kind === 'ready') checkVersion(message.version);
    else if (message.kind === 'fetchRequest') this.#order = this.#orderOf(message);
    else if (message.kind !== 'failure') this.#order.check(message);
  }

  #orderOf({ directory }: MessageOf<'fetchRequest'>): StreamOrder | FilesOrder {
    return directory === undefined ? this.stream : this.files;
  }
}

/** Checks the messages of a stream against what came before. */
class StreamOrder {
  #credit = 0;
  #position = 0;
  #ended = false;

  /** Bytes that the VM may still send. */
  get credit(): number {
    return this.#credit;
  }

  /** The offset of the next Data. */
  get position(): number {
    return this.#position;
  }

  /** Throws ProtocolError. */
  check(message: Message): void {
    if (message.kind === 'read') this.#checkRead(message.bytes);
    else if (message.kind === 'data') this.#checkData(message);
    else if (message.kind === 'end') this.#checkEnd(message.bytes);
    else throw outOfTurn(message);
  }

  #checkRead(bytes: number): void {
    if (bytes === 0) throw new ProtocolError('Read gives no credit');
    if (this.#ended) return;
    this.#credit += bytes;
    if (this.#credit > MOST_CREDIT) throw new ProtocolError('Read gives too much credit');
  }

  #checkData({ offset, bytes: { length } }: MessageOf<'data'>): void {
    if (offset !== this.#position) throw new ProtocolError('Data is not in sequence');
    if (length > this.#credit) throw new ProtocolError('more Data than was asked for');
    this.#credit -= length;
    this.#position += length;
  }

  #checkEnd(bytes: number): void {
    if (this.#credit === 0) throw new ProtocolError('End without being asked');
    if (bytes !== this.#position) throw new ProtocolError('End is not where the Data ended');
    this.#credit = 0;
    this.#ended = true;
  }
}

/** A request that is not fully answered yet: a file to be opened, or the rest of a range. */
type Asked =
  | { readonly what: 'file'; readonly handle: number }
  | { readonly what: 'range'; from: number; readonly to: number };

/** Checks the messages about files against what came before. */
class FilesOrder {
  /** In the order in which they must be answered. */
  readonly #asked: Asked[] = [];
  /** The size of each file by its handle; undefined while the file is being opened. */
  readonly #sizes = new Map<number, number | undefined>();
  #bytes = 0;

  /** How many Opens and Wants are not answered yet. */
  get requests(): number {
    return this.#asked.length;
  }

  /** Bytes that were asked for and have not arrived yet. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Throws ProtocolError. */
  check(message: Message): void {
    if (message.kind === 'open') this.#checkOpen(message);
    else if (message.kind === 'want') this.#checkWant(message);
    else if (message.kind === 'opened') this.#checkOpened(message.size);
    else if (message.kind === 'data') this.#checkData(message);
    else if (message.kind === 'lacks') this.#checkLacks();
    else throw outOfTurn(message);
    if (this.#asked.length > MOST_REQUESTS) throw new ProtocolError('too much is asked for');
  }

  #checkOpen({ handle }: MessageOf<'open'>): void {
    if (handle >= MOST_HANDLES) throw new ProtocolError('Open has too high a handle');
    if (this.#asked.some((each) => each.what === 'file' && each.handle === handle)) {
      throw new ProtocolError('Open of a handle that is being opened');
    }
    this.#sizes.set(handle, undefined);
    this.#asked.push({ what: 'file', handle });
  }

  #checkWant({ handle, offset, length }: MessageOf<'want'>): void {
    const size = this.#sizes.get(handle);
    if (size === undefined) throw new ProtocolError('Want of a file that is not open');
    if (length === 0) throw new ProtocolError('Want of nothing');
    if (offset + length > size) throw new ProtocolError('Want beyond the end of the file');
    this.#bytes += length;
    if (this.#bytes > MOST_CREDIT) throw new ProtocolError('too much is wanted');
    this.#asked.push({ what: 'range', from: offset, to: offset + length });
  }

  #checkOpened(size: number): void {
    const asked = this.#asked.shift();
    if (asked?.what !== 'file') throw new ProtocolError('Opened without being asked');
    this.#sizes.set(asked.handle, size);
  }

  #checkData({ offset, bytes: { length } }: MessageOf<'data'>): void {
    const asked = this.#asked[0];
    if (asked?.what !== 'range') throw new ProtocolError('Data without being asked');
    if (offset !== asked.from) throw new ProtocolError('Data is not in sequence');
    if (offset + length > asked.to) throw new ProtocolError('more Data than was asked for');
    asked.from += length;
    this.#bytes -= length;
    if (asked.from === asked.to) this.#asked.shift();
  }

  #checkLacks(): void {
    const asked = this.#asked.shift();
    if (asked === undefined) throw new ProtocolError('Lacks without being asked');
    if (asked.what === 'file') this.#sizes.delete(asked.handle);
    else this.#bytes -= asked.to - asked.from;
  }
}

function outOfTurn({ kind }: Message): ProtocolError {
  return new ProtocolError(`${kind} came out of turn`);
}
