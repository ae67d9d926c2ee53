import type { ByteSink } from '../../shared/byte-streams.ts';
import type { Sink } from '../transport/storage.ts';
import type { Confirmation } from './progress.ts';

/** How many positions in the archive are remembered until the storage has confirmed them. */
const MOST_PLACES = 4096;

/**
 * Estimates how much of the data that was read the storage has confirmed. The storage confirms bytes of the archive, so
 * for each write it is noted how much had been read by then. The estimate is too high by what is still being
 * compressed, a few parts. If there are several files, their confirmed bytes are added up.
 */
export class ConfirmedData {
  readonly #sinks: Sink[] = [];
  readonly #read: () => number;
  readonly #places: { readonly archive: number; readonly data: number }[] = [];
  #confirmed = 0;
  #written = 0;

  /** @param read returns how many bytes have been read so far */
  constructor(read: () => number) {
    this.#read = read;
  }

  /** Wraps a sink, so that what is written to it is counted. */
  counted(sink: Sink): ByteSink {
    this.#sinks.push(sink);
    return {
      write: async (bytes) => {
        await sink.write(bytes);
        this.#written += bytes.length;
        // When the list is full, the last position is replaced: the progress gets coarser instead.
        if (this.#places.length >= MOST_PLACES) this.#places.pop();
        this.#places.push({ archive: this.#written, data: this.#read() });
      },
    };
  }

  /** How much has been confirmed by now. */
  get now(): Confirmation {
    const archiveBytes = this.#sinks.reduce((sum, { confirmedBytes }) => sum + confirmedBytes, 0);
    const unconfirmed = this.#places.findIndex(({ archive }) => archive > archiveBytes);
    const passed = this.#places.splice(0, unconfirmed < 0 ? this.#places.length : unconfirmed);
    this.#confirmed = passed.at(-1)?.data ?? this.#confirmed;
    return { archiveBytes, dataBytes: this.#confirmed };
  }
}
