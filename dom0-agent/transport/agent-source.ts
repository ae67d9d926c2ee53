import { FetchConversation } from '../../protocol/fetch-conversation.ts';
import { PROTOCOL_VERSION } from '../../protocol/limits.ts';
import { ChannelClosedError } from '../../protocol/protocol-error.ts';
import { FailedError } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import { AgentConnection } from './agent-connection.ts';
import type { StorageVm } from './agent-connection.ts';
import { toUserError } from './storage-errors.ts';
import { locationIn, placeOf } from './location.ts';
import type { NamedPlace } from './location.ts';
import { DataTimeout } from './data-timeout.ts';
import type { Source } from './storage.ts';

/** How many bytes may be requested and not yet received. */
const WINDOW = 8 * MiB;

/** Reads the output of a command in a storage VM. */
export class AgentSource implements Source {
  readonly location: string;
  readonly size = undefined;
  readonly seekable = false;
  readonly #vm: StorageVm;
  readonly #place: NamedPlace;
  readonly #connection: AgentConnection<FetchConversation>;
  readonly #timeout: DataTimeout;
  /** Received, but beyond the range of the last read. */
  #rest: Buffer = Buffer.alloc(0);
  #hasEnded = false;

  private constructor(
    vm: StorageVm,
    place: NamedPlace,
    connection: AgentConnection<FetchConversation>,
  ) {
    this.#vm = vm;
    this.#place = place;
    this.#connection = connection;
    this.#timeout = new DataTimeout(vm.limits.stall);
    this.location = locationIn(vm.name, undefined);
  }

  /** Resolves when the VM agent has started the command. */
  static async open(vm: StorageVm, command: string, signal: AbortSignal): Promise<AgentSource> {
    const place = placeOf(vm.name, { command });
    const connection = await AgentConnection.open(vm, 'Fetch', new FetchConversation(), signal);
    try {
      const { channel } = connection;
      const version = PROTOCOL_VERSION;
      await channel.send({ kind: 'fetchRequest', version, command }, vm.limits.answer);
      await channel.expect('ready', vm.limits.answer);
      return new AgentSource(vm, place, connection);
    } catch (error) {
      const reason = await connection.reasonFor(error);
      await connection[Symbol.asyncDispose]();
      throw toUserError(reason, place, false);
    }
  }

  async *read(from = 0, to = Infinity): AsyncGenerator<Buffer, void> {
    if (from !== this.#position) throw new FailedError(`${this.location} can be read only once.`);
    while (this.#position < to) {
      if (this.#rest.length === 0) await this.#receive(to);
      if (this.#rest.length === 0) return;
      const bytes = this.#rest.subarray(0, to - this.#position);
      this.#rest = this.#rest.subarray(bytes.length);
      yield bytes;
    }
  }

  /** The offset of the next byte to be read. */
  get #position(): number {
    return this.#connection.channel.conversation.stream.position - this.#rest.length;
  }

  /** Fills `#rest`, unless the stream is at its end. */
  async #receive(end: number): Promise<void> {
    if (this.#hasEnded) return;
    try {
      await this.#giveCredit(end);
      const message = await this.#timeout.during(
        (limit) => this.#connection.channel.receive(limit),
        (each) => (each.kind === 'data' ? each.bytes.length : 0),
      );
      if (message.kind === 'data') this.#rest = message.bytes;
      else this.#hasEnded = true;
    } catch (error) {
      throw toUserError(await this.#connection.reasonFor(error), this.#place, true);
    }
  }

  /** Requests the next data early, so that the VM never waits; but not beyond `end`. */
  async #giveCredit(end: number): Promise<void> {
    const { channel } = this.#connection;
    const { credit, position } = channel.conversation.stream;
    const wanted = Math.min(WINDOW, end - position);
    if (credit >= Math.min(wanted, WINDOW / 2)) return;
    try {
      await channel.send({ kind: 'read', bytes: wanted - credit }, this.#vm.limits.stall);
    } catch (error) {
      // An agent that fails ends; its last message can still be received.
      if (!(error instanceof ChannelClosedError)) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }
}
