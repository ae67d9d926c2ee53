import type { Coffer1Header } from './coffer1-header.ts';
import { openSeries } from './series.ts';
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

  /** Unwraps the key of a file's series, and wipes the passphrase. Throws WrongPassphraseError. */
  async open(header: Coffer1Header, passphrase: Buffer): Promise<SeriesKey> {
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
