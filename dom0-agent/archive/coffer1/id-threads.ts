import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { types } from 'node:util';
import { Worker } from 'node:worker_threads';
import { Semaphore } from '../../../shared/semaphore.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import { ID_LENGTH } from './chunk-ids.ts';

/** Consecutive whole chunks, from byte `start` of a buffer on. */
export interface ChunksInBuffer {
  readonly buffer: Buffer;
  readonly start: number;
  readonly count: number;
  readonly grain: number;
}

/** How many bytes are hashed here before threads are used: less takes less time than starting one. */
const WORTH_NO_THREAD = 64 * MiB;

/** The fewest bytes that are sent to a thread: less takes no longer than the way there and back. */
const WORTH_SENDING = 256 * KiB;

/** What is sent to a thread, which owns `memory` until it answers. */
interface Job {
  readonly memory: ArrayBufferLike;
  readonly start: number;
  readonly count: number;
  readonly grain: number;
  readonly key: Uint8Array;
}

interface Answer {
  readonly ids: Uint8Array;
  readonly memory: ArrayBuffer;
}

/** The ids, one after the other. Threads get the source of this function, so it may use nothing but its parameters. */
function idsOf(job: Job, hmac: typeof createHmac, idLength: number): Uint8Array {
  const ids = new Uint8Array(job.count * idLength);
  for (let i = 0; i < job.count; i++) {
    const chunk = new Uint8Array(job.memory, job.start + i * job.grain, job.grain);
    ids.set(hmac('sha256', job.key).update(chunk).digest().subarray(0, idLength), i * idLength);
  }
  return ids;
}

const THREAD = `
const { createHmac } = require('node:crypto');
const { parentPort } = require('node:worker_threads');
const idsOf = ${idsOf.toString()};
parentPort.on('message', (job) => {
  const ids = idsOf(job, createHmac, ${ID_LENGTH});
  parentPort.postMessage({ ids, memory: job.memory }, [job.memory]);
});`;

/** Computes the ids of many chunks on several cores. A buffer goes to a thread and comes back without being copied. */
export class IdThreads implements AsyncDisposable {
  /** How many buffers are processed at a time. */
  readonly atOnce: number;
  readonly #running: Semaphore;
  readonly #ended = new AbortController();
  readonly #idle: Worker[] = [];
  readonly #all: Worker[] = [];
  /** How many more bytes are processed without threads. */
  #here: number;

  /**
   * @param atOnce how many threads there may be; they are started when there is enough to do
   * @param here how many bytes are processed before threads are used
   */
  constructor(atOnce: number, here = WORTH_NO_THREAD) {
    this.atOnce = atOnce;
    this.#running = new Semaphore(atOnce);
    this.#here = here;
  }

  /**
   * The ids of the chunks, and the buffer with the chunks, which replaces the given one: that may have lost its memory.
   */
  async idsOf(
    key: Uint8Array,
    { buffer, ...chunks }: ChunksInBuffer,
  ): Promise<{ ids: Buffer; buffer: Buffer }> {
    const { buffer: memory, byteOffset, length } = buffer;
    const job = { ...chunks, start: byteOffset + chunks.start, memory, key };
    const bytes = chunks.count * chunks.grain;
    if (this.#here > 0 || bytes < WORTH_SENDING || !types.isArrayBuffer(memory)) {
      this.#here -= bytes;
      return { ids: Buffer.from(idsOf(job, createHmac, ID_LENGTH)), buffer };
    }
    const answer = await this.#running.run(() => this.#onThread(job, memory), this.#ended.signal);
    const { buffer: ids } = answer.ids;
    return { ids: Buffer.from(ids), buffer: Buffer.from(answer.memory, byteOffset, length) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await Promise.all(this.#all.map((thread) => thread.terminate()));
  }

  async #onThread(job: Job, memory: ArrayBuffer): Promise<Answer> {
    const thread = this.#idle.pop() ?? this.#start();
    const answered = once(thread, 'message', { signal: this.#ended.signal });
    thread.postMessage(job, [memory]);
    const [answer] = (await answered) as [Answer];
    this.#idle.push(thread);
    return answer;
  }

  #start(): Worker {
    const thread = new Worker(THREAD, { eval: true, execArgv: [] });
    this.#all.push(thread);
    return thread;
  }
}
