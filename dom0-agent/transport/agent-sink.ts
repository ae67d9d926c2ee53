import { createHash } from 'node:crypto';
import { StoreConversation } from '../../protocol/conversation.ts';
import { LONGEST_DATA, PROTOCOL_VERSION } from '../../protocol/limits.ts';
import type { MessageOf } from '../../protocol/messages.ts';
import { ChannelClosedError } from '../../protocol/protocol-error.ts';
import { withTimeout } from '../../protocol/timeout.ts';
import { StorageError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { Space } from '../../shared/space.ts';
import { AgentConnection } from './agent-connection.ts';
import type { StorageVm } from './agent-connection.ts';
import { toUserError } from './storage-errors.ts';
import { locationIn, placeOf } from './location.ts';
import type { Place } from './location.ts';
import type { Sink, StoredArchive, StoreTarget } from './storage.ts';

/** Sends an archive to a storage VM. */
export class AgentSink implements Sink {
  readonly location: string;
  readonly space: Space;
  readonly #vm: StorageVm;
  readonly #place: Place;
  readonly #connection: AgentConnection<StoreConversation>;
  readonly #stored: Promise<MessageOf<'stored'>>;
  readonly #hash = createHash('sha256');
  readonly #path: string | undefined;
  #sent = 0;
  #isStored = false;

  private constructor(
    vm: StorageVm,
    place: Place,
    connection: AgentConnection<StoreConversation>,
    untrustedReady: MessageOf<'ready'>,
  ) {
    this.#vm = vm;
    this.#place = place;
    this.#connection = connection;
    this.#path = place.what === 'command' ? undefined : printable(untrustedReady.path);
    this.location = locationIn(vm.name, this.#path);
    const { freeBytes, largestFile } = untrustedReady;
    this.space = { freeBytes, largestFile };
    this.#stored = this.#listen();
    // Makes `write` and `finish` fail.
    this.#stored.catch((error: unknown) => connection.break(error));
  }

  /** Resolves when the VM agent is ready to take the archive. */
  static async open(
    vm: StorageVm,
    target: StoreTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<AgentSink> {
    const place = placeOf(vm.name, target);
    const connection = await AgentConnection.open(vm, 'Store', new StoreConversation(), signal);
    try {
      const { channel } = connection;
      const asked = { version: PROTOCOL_VERSION, fileName: '', ...target, expectedBytes };
      await channel.send({ kind: 'storeRequest', ...asked }, vm.limits.answer);
      return new AgentSink(vm, place, connection, await channel.expect('ready', vm.limits.answer));
    } catch (error) {
      const reason = await connection.reasonFor(error);
      await connection[Symbol.asyncDispose]();
      throw toUserError(reason, place, false);
    }
  }

  get confirmedBytes(): number {
    return this.#isStored ? this.#sent : this.#connection.channel.conversation.safe;
  }

  async write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; at += LONGEST_DATA) {
      await this.#send(bytes.subarray(at, at + LONGEST_DATA));
    }
  }

  async #send(bytes: Buffer): Promise<void> {
    const { channel } = this.#connection;
    const sending = channel.send(
      { kind: 'data', offset: this.#sent, bytes },
      this.#vm.limits.stall,
    );
    // While the bytes are being sent.
    this.#hash.update(bytes);
    this.#sent += bytes.length;
    await sending.catch((error: unknown) => this.#fail(error));
  }

  async finish(): Promise<StoredArchive> {
    const bytes = this.#sent;
    const sha256 = this.#hash.digest();
    try {
      const { limits } = this.#vm;
      await this.#connection.channel.send({ kind: 'end', bytes, sha256 }, limits.stall);
      const late = () => new StorageError(`${this.#vm.name} does not finish storing the backup.`);
      requireAgreement(
        await withTimeout(this.#stored, limits.finish, late),
        bytes,
        sha256,
        this.#vm,
      );
      await this.#connection.requireSuccess();
      this.#isStored = true;
    } catch (error) {
      return this.#fail(error);
    }
    return { location: this.location, path: this.#path, bytes, sha256: sha256.toString('hex') };
  }

  /** Receives from the VM agent: Progress, which the conversation tracks, and Stored. */
  async #listen(): Promise<MessageOf<'stored'>> {
    for (;;) {
      const message = await this.#connection.channel.receive(this.#vm.limits.silence);
      if (message.kind === 'stored') return message;
    }
  }

  /** An agent that fails closes the channel; its last message is more informative. */
  async #fail(error: unknown): Promise<never> {
    const isClosed = error instanceof ChannelClosedError;
    const told = isClosed ? await this.#lastMessage(error) : error;
    throw toUserError(await this.#connection.reasonFor(told), this.#place, true);
  }

  async #lastMessage(closed: ChannelClosedError): Promise<unknown> {
    const heard = this.#stored.then(
      () => closed,
      (error: unknown) => error,
    );
    return withTimeout(heard, this.#vm.limits.exit, () => closed).catch(() => closed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }
}

function requireAgreement(
  untrusted: MessageOf<'stored'>,
  bytes: number,
  sha256: Buffer,
  vm: StorageVm,
): void {
  if (untrusted.bytes === bytes && untrusted.sha256.equals(sha256)) return;
  throw new StorageError(
    `${vm.name} stored something else than what was sent: do not rely on this backup, try again.`,
  );
}
