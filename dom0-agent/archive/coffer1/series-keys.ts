import type { Coffer1Header } from './coffer1-header.ts';
import { openSeries } from './series.ts';
import type { SeriesKey } from './series-key.ts';

/**
 * What one passphrase opens, or does not. A key derivation takes a second, and the files of a series need the same:
 * it is made once for each.
 */
export class SeriesKeys {
  readonly #known = new Map<string, Promise<SeriesKey>>();

  /** How many keys were derived so far. */
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
