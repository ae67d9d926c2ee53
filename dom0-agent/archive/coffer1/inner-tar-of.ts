import { decompress } from '../compression.ts';
import { prefetch } from '../prefetch.ts';
import type { Coffer1Header } from './header.ts';
import { type Seal, openMember } from './seal.ts';
import type { StoredPart } from './stored-parts.ts';

/** What every reading of an opened archive needs. */
export interface Opened {
  readonly header: Coffer1Header;
  readonly seal: Seal;
  readonly signal: AbortSignal;
}

/** The inner tar of a file, from its parts: MACs checked, decrypted, decompressed. */
export function innerTarOf(
  parts: AsyncIterable<StoredPart>,
  { header, seal, signal }: Opened,
): AsyncIterable<Buffer> {
  const plaintext = prefetch(openedParts(prefetch(parts), seal));
  return header.compressionFilter === undefined
    ? plaintext
    : decompress(header.compressionFilter, plaintext, signal);
}

async function* openedParts(
  parts: AsyncIterable<StoredPart>,
  seal: Seal,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { name, untrustedStored, mac, release } of parts) {
    yield* openMember(seal, name, untrustedStored, mac);
    release();
  }
}
