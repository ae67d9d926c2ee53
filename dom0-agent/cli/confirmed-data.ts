import type { ByteSink } from '../../shared/byte-streams.ts';
import type { Sink } from '../transport/storage.ts';
import type { Confirmation } from './progress.ts';

/** So many places of the archive are remembered until the storage has confirmed them. */
const MOST_PLACES = 4096;

/**
 * How much of the data the storage has confirmed. What it confirms are bytes of the archive; for each write it is
 * remembered how much had been read by then. That is ahead of what is in those bytes by what is being compressed, a
 * few parts.
 */
export class ConfirmedData {
  /** To be written to instead of the sink. */
  readonly output: ByteSink;
  readonly #sink: Sink;
  readonly #places: { readonly archive: number; readonly data: number }[] = [];
  #confirmed = 0;
  #written = 0;

  /** @param read how much has been read until now */
  constructor(sink: Sink, read: () => number) {
    this.#sink = sink;
    this.output = {
      write: async (bytes) => {
        await sink.write(bytes);
        this.#written += bytes.length;
        // A coarser step is better than a list that grows without limit.
        if (this.#places.length >= MOST_PLACES) this.#places.pop();
        this.#places.push({ archive: this.#written, data: read() });
      },
    };
  }

  get now(): Confirmation {
    const archiveBytes = this.#sink.confirmedBytes;
    const unconfirmed = this.#places.findIndex(({ archive }) => archive > archiveBytes);
    const passed = this.#places.splice(0, unconfirmed < 0 ? this.#places.length : unconfirmed);
    this.#confirmed = passed.at(-1)?.data ?? this.#confirmed;
    return { archiveBytes, dataBytes: this.#confirmed };
  }
}
