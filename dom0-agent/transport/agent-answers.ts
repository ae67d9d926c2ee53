import type { Channel } from '../../protocol/channel.ts';
import type { FetchConversation } from '../../protocol/fetch-conversation.ts';
import { MOST_CREDIT, MOST_REQUESTS } from '../../protocol/limits.ts';
import type { MessageOf } from '../../protocol/messages.ts';
import { ChannelClosedError, PeerFailure } from '../../protocol/protocol-error.ts';
import type { StorageVm } from './agent-connection.ts';
import { DataTimeout } from './data-timeout.ts';

/** The answer to one Open or Want, as far as it has arrived. */
interface Answer {
  readonly request: MessageOf<'open' | 'want'>;
  /** Bytes that have not been taken yet. */
  chunks: Buffer[];
  /** The size of the opened file. */
  size: number;
  /** How many bytes are still to come. */
  left: number;
  isOver: boolean;
  failure: PeerFailure | undefined;
  /** Nobody needs it any more: its bytes are discarded. */
  isDropped: boolean;
}

/**
 * The answers of a storage VM, which come in the order of the requests. Nothing receives them in the background:
 * whoever waits for an answer also receives those before it. Throws the errors of the channel, and PeerFailure for what
 * the VM lacks.
 */
export class Answers {
  readonly #vm: StorageVm;
  readonly #channel: Channel<FetchConversation>;
  readonly #timeout: DataTimeout;
  /** In the order of the requests. */
  readonly #pending: Answer[] = [];
  #receiving: Promise<void> | undefined;

  constructor(vm: StorageVm, channel: Channel<FetchConversation>) {
    this.#vm = vm;
    this.#channel = channel;
    this.#timeout = new DataTimeout(vm.limits.stall);
  }

  /** Opens a file and returns its size in bytes. */
  async open(handle: number, fileName: string): Promise<number> {
    const answer = await this.#ask({ kind: 'open', handle, fileName });
    while (!answer.isOver) await this.#receive();
    if (answer.failure !== undefined) throw answer.failure;
    return answer.size;
  }

  /**
   * Requests a range of an open file; resolves when the request has been sent. Undefined if it was not.
   *
   * @param isStillOpen called just before it is sent: whether the file still has the handle
   */
  async want(
    handle: number,
    offset: number,
    length: number,
    isStillOpen: () => boolean,
  ): Promise<WantedRange | undefined> {
    const { files } = this.#channel.conversation;
    while (files.requests === MOST_REQUESTS || files.bytes + length > MOST_CREDIT) {
      await this.#receive();
    }
    if (!isStillOpen()) return undefined;
    const answer = await this.#ask({ kind: 'want', handle, offset, length });
    const drop = (): void => {
      answer.isDropped = true;
      answer.chunks = [];
    };
    return { bytes: () => this.#bytesOf(answer), drop };
  }

  async *#bytesOf(answer: Answer): AsyncGenerator<Buffer, void, undefined> {
    for (;;) {
      const chunk = answer.chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (!answer.isOver) await this.#receive();
      else if (answer.failure !== undefined) throw answer.failure;
      else return;
    }
  }

  async #ask(request: Answer['request']): Promise<Answer> {
    const answer: Answer = {
      ...{ request, chunks: [], size: 0, left: request.kind === 'want' ? request.length : 0 },
      ...{ isOver: false, failure: undefined, isDropped: false },
    };
    this.#pending.push(answer);
    try {
      await this.#channel.send(request, this.#vm.limits.stall);
    } catch (error) {
      // An agent that fails ends; its last message can still be received.
      if (!(error instanceof ChannelClosedError)) throw error;
    }
    return answer;
  }

  /**
   * Receives one message; all who wait at the same time share it. If that fails, it fails for all, from then on:
   * otherwise a cleanup could wait for messages that a VM never sends, once it has violated the protocol.
   */
  #receive(): Promise<void> {
    if (this.#receiving !== undefined) return this.#receiving;
    const receiving = this.#receiveOne();
    this.#receiving = receiving;
    receiving.then(
      () => (this.#receiving = undefined),
      () => undefined,
    );
    return receiving;
  }

  async #receiveOne(): Promise<void> {
    const answer = this.#pending[0];
    const message = await this.#timeout.during(
      (limit) =>
        this.#channel.receive(answer?.request.kind === 'open' ? this.#vm.limits.answer : limit),
      (each) => (each.kind === 'data' ? each.bytes.length : Infinity),
    );
    // The conversation has checked that the message answers the first request.
    if (answer === undefined) return;
    if (message.kind === 'data') {
      if (!answer.isDropped) answer.chunks.push(message.bytes);
      answer.left -= message.bytes.length;
    } else if (message.kind === 'opened') {
      answer.size = message.size;
    } else if (message.kind === 'lacks') {
      const failure = { ...message, kind: 'failure', signal: '', stderrTail: '' } as const;
      answer.failure = new PeerFailure(this.#vm.name, failure);
      answer.left = 0;
    }
    if (answer.left > 0) return;
    answer.isOver = true;
    this.#pending.shift();
  }
}

/** A range that was requested. */
export interface WantedRange {
  /** The bytes as they arrive. To be read once. */
  readonly bytes: () => AsyncIterable<Buffer>;
  /** To be called when the rest is no longer needed. */
  readonly drop: () => void;
}
