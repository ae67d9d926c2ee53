import type { FileHandle } from 'node:fs/promises';
import { MiB } from '../shared/sizes.ts';

/** How many bytes are written before the next sync begins. */
const INTERVAL = 64 * MiB;

/** Syncs a file while it is being written, so that little is left to do at the end. */
export class BackgroundSync {
  readonly #handle: FileHandle;
  #written = 0;
  #begunUpTo = 0;
  #safe = 0;
  #syncing: Promise<void> | undefined;
  /** Kept, since the system reports an error only once. */
  #failure: { readonly error: unknown } | undefined;

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** How many bytes a completed sync covers. */
  get safeBytes(): number {
    return this.#safe;
  }

  /** To be called after every successful write, with its length. Throws the error of a failed sync. */
  wrote(bytes: number): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    this.#written += bytes;
    if (this.#written - this.#begunUpTo >= INTERVAL) this.#syncing ??= this.#sync();
  }

  /** Syncs everything that was written. Throws the error of any failed sync. */
  async finish(): Promise<void> {
    await this.idle();
    if (this.#failure !== undefined) throw this.#failure.error;
    await this.#handle.sync();
    this.#safe = this.#written;
  }

  /** Resolves when no sync is in progress: the file can then be closed. */
  async idle(): Promise<void> {
    await this.#syncing;
  }

  async #sync(): Promise<void> {
    const upTo = (this.#begunUpTo = this.#written);
    try {
      await this.#handle.datasync();
      this.#safe = upTo;
    } catch (error) {
      this.#failure = { error };
    } finally {
      this.#syncing = undefined;
    }
  }
}
