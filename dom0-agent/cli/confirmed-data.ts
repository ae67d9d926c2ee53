import type { ByteSink } from '../../shared/byte-streams.ts';
import type { Sink } from '../transport/storage.ts';
import type { Confirmation } from './progress.ts';

/** So many places of the archive are remembered until the storage has confirmed them. */
const MOST_PLACES = 4096;

/**
 * How much of the data the storage has confirmed. What it confirms are bytes of the archive; for each write it is
 * remembered how much had been read by then. That is ahead of what is in those bytes by what is being compressed, a
 * few parts; where there are several files, it is what has been confirmed of all of them.
 */
export class ConfirmedData {
  readonly #sinks: Sink[] = [];
  readonly #read: () => number;
  readonly #places: { readonly archive: number; readonly data: number }[] = [];
  #confirmed = 0;
  #written = 0;

  /** @param read how much has been read until now */
  constructor(read: () => number) {
    this.#read = read;
  }

  /** What is to be written to instead of the sink, so that it counts. */
  counted(sink: Sink): ByteSink {
    this.#sinks.push(sink);
    return {
      write: async (bytes) => {
        await sink.write(bytes);
        this.#written += bytes.length;
        // A coarser step is better than a list that grows without limit.
        if (this.#places.length >= MOST_PLACES) this.#places.pop();
        this.#places.push({ archive: this.#written, data: this.#read() });
      },
    };
  }

  get now(): Confirmation {
    const archiveBytes = this.#sinks.reduce((sum, { confirmedBytes }) => sum + confirmedBytes, 0);
    const unconfirmed = this.#places.findIndex(({ archive }) => archive > archiveBytes);
    const passed = this.#places.splice(0, unconfirmed < 0 ? this.#places.length : unconfirmed);
    this.#confirmed = passed.at(-1)?.data ?? this.#confirmed;
    return { archiveBytes, dataBytes: this.#confirmed };
  }
}
