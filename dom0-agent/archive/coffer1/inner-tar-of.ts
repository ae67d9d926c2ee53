import { decompress } from '../compress/compression.ts';
import { prefetch } from '../parts/prefetch.ts';
import type { Coffer1Header } from './coffer1-header.ts';
import { type AuthenticMember, type Seal, authenticate, decrypt } from './seal-member.ts';
import type { StoredPart } from './stored-parts.ts';

/** What every reading of an opened archive needs. */
export interface Opened {
  readonly header: Coffer1Header;
  readonly seal: Seal;
  readonly signal: AbortSignal;
}

/**
 * The inner tar of a file, from its parts: MACs checked, decrypted, decompressed. While one part is being
 * decrypted, the MAC of the next is checked.
 */
export function innerTarOf(
  parts: AsyncIterable<StoredPart>,
  { header, seal, signal }: Opened,
): AsyncIterable<Buffer> {
  const plaintext = prefetch(decrypted(prefetch(authenticated(prefetch(parts), seal))));
  return header.compressionFilter === undefined
    ? plaintext
    : decompress(header.compressionFilter, plaintext, signal);
}

interface AuthenticPart {
  readonly part: StoredPart;
  readonly member: AuthenticMember;
}

async function* authenticated(
  parts: AsyncIterable<StoredPart>,
  seal: Seal,
): AsyncGenerator<AuthenticPart, void, undefined> {
  for await (const part of parts) {
    yield { part, member: await authenticate(seal, part.name, part.untrustedStored, part.mac) };
  }
}

async function* decrypted(
  parts: AsyncIterable<AuthenticPart>,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { part, member } of parts) {
    try {
      yield* decrypt(member);
    } finally {
      // A consumer that leaves, too: else the reading of another part would wait for memory for ever.
      part.release();
    }
  }
}
