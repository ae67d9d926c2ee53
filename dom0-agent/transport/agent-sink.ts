import { createHash } from 'node:crypto';
import { AssembleConversation } from '../../protocol/assemble-conversation.ts';
import { StoreConversation } from '../../protocol/conversation.ts';
import { LONGEST_DATA, PROTOCOL_VERSION } from '../../protocol/limits.ts';
import type { Service } from '../../protocol/conversation.ts';
import type { Message, MessageOf } from '../../protocol/messages.ts';
import { ChannelClosedError } from '../../protocol/protocol-error.ts';
import { withTimeout } from '../../protocol/timeout.ts';
import { StorageError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { GiB } from '../../shared/sizes.ts';
import type { Space } from '../../shared/space.ts';
import { AgentConnection } from './agent-connection.ts';
import type { StorageVm } from './agent-connection.ts';
import { toUserError } from './storage-errors.ts';
import { locationIn, placeOf } from './location.ts';
import type { NamedPlace } from './location.ts';
import type { Assembly, FileTarget, StoredArchive, StoreTarget } from './storage.ts';

/** How many requested bytes may not be copied yet, so that the VM takes each message in time. */
const MOST_UNCOPIED = GiB;
/** The longest Copy, in bytes. */
const LONGEST_COPY = GiB / 8;

/** Sends an archive to a storage VM, or has it assembled there. */
export class AgentSink implements Assembly {
  readonly location: string;
  readonly space: Space;
  readonly #vm: StorageVm;
  readonly #place: NamedPlace;
  readonly #connection: AgentConnection<StoreConversation>;
  readonly #stored: Promise<MessageOf<'stored'>>;
  readonly #hash = createHash('sha256');
  readonly #path: string | undefined;
  #sent = 0;
  #isStored = false;
  /** Called when the VM has said something. */
  #heard: () => void = () => undefined;

  private constructor(
    vm: StorageVm,
    place: NamedPlace,
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
    const through = 'command' in target ? undefined : vm.through;
    const asked = { version: PROTOCOL_VERSION, fileName: '', ...target, through, expectedBytes };
    const request: Message = { kind: 'storeRequest', ...asked };
    return AgentSink.#ask(vm, placeOf(vm.name, target), 'Store', request, signal);
  }

  /** The same for a file into which the VM agent copies ranges of others. */
  static async openAssembly(
    vm: StorageVm,
    target: FileTarget,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<AgentSink> {
    const asked = { version: PROTOCOL_VERSION, ...target, expectedBytes };
    const request: Message = { kind: 'assembleRequest', ...asked };
    return AgentSink.#ask(vm, placeOf(vm.name, target), 'Assemble', request, signal);
  }

  static async #ask(
    vm: StorageVm,
    place: NamedPlace,
    service: Service,
    request: Message,
    signal: AbortSignal,
  ): Promise<AgentSink> {
    const conversation =
      service === 'Assemble' ? new AssembleConversation() : new StoreConversation();
    const connection = await AgentConnection.open(vm, service, conversation, signal);
    try {
      const { channel } = connection;
      await channel.send(request, vm.limits.answer);
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

  async requireOpen(): Promise<void> {
    const stillOpen = Promise.resolve();
    await Promise.race([this.#stored, stillOpen]).catch((error: unknown) => this.#fail(error));
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

  async copy(fileName: string, offset: number, length: number): Promise<void> {
    try {
      for (let at = 0; at < length; at += LONGEST_COPY) {
        const part = Math.min(LONGEST_COPY, length - at);
        await this.#untilSafe(this.#sent + part - MOST_UNCOPIED);
        const message: Message = { kind: 'copy', fileName, offset: offset + at, length: part };
        await this.#connection.channel.send(message, this.#vm.limits.stall);
        this.#sent += part;
      }
    } catch (error) {
      return this.#fail(error);
    }
  }

  /** Waits until `bytes` bytes are safe. Throws StorageError when there is no progress for `limits.stall`. */
  async #untilSafe(bytes: number): Promise<void> {
    const { conversation } = this.#connection.channel;
    let [safe, since] = [conversation.safe, performance.now()];
    while (conversation.safe < bytes) {
      const heartbeat = new Promise<void>((resolve) => (this.#heard = resolve));
      await Promise.race([heartbeat, this.#stored]);
      if (conversation.safe > safe) [safe, since] = [conversation.safe, performance.now()];
      if (performance.now() - since <= this.#vm.limits.stall) continue;
      throw new StorageError(`${this.#vm.name} does not continue copying.`);
    }
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
      this.#heard();
    }
  }

  /** Throws the error for the user. An agent that fails closes the channel; its last message is more informative. */
  async #fail(error: unknown): Promise<never> {
    const isClosed = error instanceof ChannelClosedError;
    const best = isClosed ? await this.#lastMessage(error) : error;
    throw toUserError(await this.#connection.reasonFor(best), this.#place, true);
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
    `${vm.name} stored something other than what was sent: do not rely on this backup, try again.`,
  );
}
