import { scrypt as scryptCallback } from 'node:crypto';
import { availableParallelism, freemem } from 'node:os';
import { promisify } from 'node:util';
import { FailedError } from '../../../shared/errors.ts';
import { Semaphore } from '../../../shared/semaphore.ts';
import { MiB, formatSize } from '../../../shared/sizes.ts';
import { type ScryptKeys, type ScryptParameters, memoryFor, scryptKeys } from './scrypt-file.ts';

const scrypt = promisify<Buffer, Buffer, number, object, Buffer>(scryptCallback);

/** Left for everything else, including the parts in memory. */
const SPARED_MEMORY = 512 * MiB;
/** The threads that Node uses for key derivations and file operations (libuv's default). */
const DEFAULT_THREADS = 4;

/**
 * Derives keys on other threads, several at a time: limited by the number of processors, and by the memory
 * that is free when this is created. One thread of Node's is left for files.
 */
export class Derivations {
  readonly #places: Semaphore;
  readonly #memory: Semaphore;

  constructor(
    mostAtOnce = Math.min(availableParallelism(), threads() - 1),
    mostMemory = freemem() - SPARED_MEMORY,
  ) {
    this.#places = new Semaphore(mostAtOnce);
    this.#memory = new Semaphore(mostMemory);
  }

  /**
   * Derives the keys for `place` from `<place>!<passphrase>`. Waits for its turn. Throws FailedError when
   * there is not enough memory.
   */
  async derive(
    place: string,
    passphrase: Buffer,
    parameters: ScryptParameters,
    signal: AbortSignal,
  ): Promise<ScryptKeys> {
    return this.#places.run(async () => {
      const memory = memoryFor(parameters);
      // One derivation is always tried, however much memory it takes.
      await this.#memory.acquire(memory, signal);
      const secret = Buffer.concat([Buffer.from(`${place}!`), passphrase]);
      try {
        return scryptKeys(await run(secret, parameters));
      } finally {
        secret.fill(0);
        this.#memory.release(memory);
      }
    }, signal);
  }
}

async function run(secret: Buffer, parameters: ScryptParameters): Promise<Buffer> {
  const { n, r, p, salt } = parameters;
  // OpenSSL counts 128·r·(N + p + 2) bytes.
  const maxmem = 128 * r * (n + p + 2) + MiB;
  try {
    return await scrypt(secret, salt, 64, { N: n, r, p, maxmem });
  } catch (cause) {
    throw new FailedError(
      `a key of this backup cannot be derived: that needs ${formatSize(memoryFor(parameters))} of free memory`,
      { cause },
    );
  }
}

function threads(): number {
  return Number(process.env['UV_THREADPOOL_SIZE'] ?? DEFAULT_THREADS);
}
