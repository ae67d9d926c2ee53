import { FetchConversation } from '../../protocol/conversation.ts';
import { PROTOCOL_VERSION } from '../../protocol/limits.ts';
import type { MessageOf } from '../../protocol/messages.ts';
import { ChannelClosedError } from '../../protocol/protocol-error.ts';
import { FailedError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { KiB, MiB } from '../../shared/sizes.ts';
import { AgentConnection } from './agent-connection.ts';
import type { StorageVm } from './agent-connection.ts';
import { toUserError } from './storage-errors.ts';
import { locationIn, placeOf } from './location.ts';
import type { Place } from './location.ts';
import type { FetchSource, Source } from './storage.ts';

/**
 * How many bytes may be in flight. The window grows with each step of sequential reading; what is in flight must
 * arrive before a Seek, so a short read stays cheap.
 */
const SMALLEST_WINDOW = MiB;
const LARGEST_WINDOW = 8 * MiB;

/** How many bytes must arrive within the stall timeout: a trickle is not enough. */
const LEAST_BYTES = 64 * KiB;

/** Reads an archive from a storage VM. */
export class AgentSource implements Source {
  readonly location: string;
  readonly size: number | undefined;
  readonly seekable: boolean;
  readonly #vm: StorageVm;
  readonly #place: Place;
  readonly #connection: AgentConnection<FetchConversation>;
  /** Received, but beyond the range of the last read. */
  #rest: Buffer = Buffer.alloc(0);
  #hasEnded = false;
  #window = SMALLEST_WINDOW;
  /** Since LEAST_BYTES last arrived: the time waited in milliseconds, and the bytes received. */
  #waited = 0;
  #came = 0;

  private constructor(
    vm: StorageVm,
    place: Place,
    connection: AgentConnection<FetchConversation>,
    untrustedReady: MessageOf<'ready'>,
  ) {
    this.#vm = vm;
    this.#place = place;
    this.#connection = connection;
    const path = place.what === 'command' ? undefined : printable(untrustedReady.path);
    this.location = locationIn(vm.name, path);
    this.size = untrustedReady.size;
    this.seekable = untrustedReady.seekable;
  }

  /** Resolves when the VM agent is ready to give the archive. */
  static async open(vm: StorageVm, source: FetchSource, signal: AbortSignal): Promise<AgentSource> {
    const place = placeOf(vm.name, source);
    const connection = await AgentConnection.open(vm, 'Fetch', new FetchConversation(), signal);
    try {
      const { channel } = connection;
      const version = PROTOCOL_VERSION;
      await channel.send({ kind: 'fetchRequest', version, ...source }, vm.limits.answer);
      return new AgentSource(
        vm,
        place,
        connection,
        await channel.expect('ready', vm.limits.answer),
      );
    } catch (error) {
      const reason = await connection.reasonFor(error);
      await connection[Symbol.asyncDispose]();
      throw toUserError(reason, place, false);
    }
  }

  async *read(from = 0, to = Infinity): AsyncGenerator<Buffer, void> {
    const end = Math.min(to, this.size ?? Infinity);
    await this.#orUserError(this.#goTo(from));
    while (this.#position < end) {
      if (this.#rest.length === 0) await this.#orUserError(this.#receive(end));
      if (this.#rest.length === 0) return;
      const bytes = this.#rest.subarray(0, end - this.#position);
      this.#rest = this.#rest.subarray(bytes.length);
      yield bytes;
    }
  }

  /** The offset of the next byte to be read. */
  get #position(): number {
    return this.#connection.channel.conversation.position - this.#rest.length;
  }

  async #goTo(offset: number): Promise<void> {
    const { channel } = this.#connection;
    if (offset === this.#position) return;
    if (!this.seekable) throw new FailedError(`${this.location} can be read only once.`);
    const isAhead = offset > this.#position;
    // A Seek must wait until all requested data has arrived; perhaps that includes `offset`.
    while (channel.conversation.credit > 0) {
      if (isAhead && offset <= channel.conversation.position) break;
      this.#rest = await this.#receiveChunk();
    }
    const { position } = channel.conversation;
    if (isAhead && offset <= position) {
      this.#rest = this.#rest.subarray(this.#rest.length - (position - offset));
      return;
    }
    this.#rest = Buffer.alloc(0);
    this.#window = SMALLEST_WINDOW;
    await channel.send({ kind: 'seek', offset }, this.#vm.limits.stall);
  }

  /** Fills `#rest`, unless the source is at its end. */
  async #receive(end: number): Promise<void> {
    if (this.#hasEnded) return;
    try {
      await this.#giveCredit(end);
    } catch (error) {
      // An agent that fails ends; its last message can still be received.
      if (!(error instanceof ChannelClosedError)) throw error;
    }
    this.#rest = await this.#receiveChunk();
  }

  /** Requests the next data early, so that the VM never waits; but not beyond `end`. */
  async #giveCredit(end: number): Promise<void> {
    const { channel } = this.#connection;
    const { credit, position } = channel.conversation;
    const wanted = Math.min(this.#window, end - position);
    if (credit >= Math.min(wanted, this.#window / 2)) return;
    this.#window = Math.min(this.#window * 2, LARGEST_WINDOW);
    await channel.send({ kind: 'read', bytes: wanted - credit }, this.#vm.limits.stall);
  }

  async #receiveChunk(): Promise<Buffer> {
    const start = performance.now();
    const { channel } = this.#connection;
    const message = await channel.receive(Math.max(this.#vm.limits.stall - this.#waited, 0));
    this.#waited += performance.now() - start;
    if (message.kind !== 'data') {
      this.#hasEnded = true;
      return Buffer.alloc(0);
    }
    this.#came += message.bytes.length;
    if (this.#came >= LEAST_BYTES) this.#came = this.#waited = 0;
    return message.bytes;
  }

  async #orUserError(step: Promise<void>): Promise<void> {
    try {
      await step;
    } catch (error) {
      throw toUserError(await this.#connection.reasonFor(error), this.#place, true);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }
}
