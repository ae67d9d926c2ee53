import { type SeriesHead, openSeries } from './series.ts';
import type { SeriesKey } from './series-key.ts';

/**
 * The series keys that one passphrase unwraps. A key derivation takes about a second, and most files of a series need
 * the same one: so the result of each is kept, even if the passphrase was wrong.
 */
export class SeriesKeys {
  readonly #known = new Map<string, Promise<SeriesKey>>();

  /** How many keys have been derived so far. */
  get derivations(): number {
    return this.#known.size;
  }

  /**
   * Begins to derive a key that will be asked for, on another thread. If the passphrase is wrong, `open` says so.
   *
   * @param passphrase is wiped
   */
  begin(header: SeriesHead, passphrase: Buffer): void {
    void Promise.allSettled([this.open(header, passphrase)]);
  }

  /** Unwraps the key of a file's series, and wipes the passphrase. Throws WrongPassphraseError. */
  async open(header: SeriesHead, passphrase: Buffer): Promise<SeriesKey> {
    const { seriesId, kdf, kdfSalt, wrappedKey, wrappedKeyMac } = header;
    const name = JSON.stringify([seriesId, kdf, kdfSalt, wrappedKey, wrappedKeyMac]);
    const opening = this.#known.get(name) ?? openSeries(header, passphrase).then(({ key }) => key);
    this.#known.set(name, opening);
    try {
      return await opening;
    } finally {
      passphrase.fill(0);
    }
  }
}
