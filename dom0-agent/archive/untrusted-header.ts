import type { OuterTarReader } from './tar/outer-reader.ts';

/** The first two members of an archive, read before its format is known. */
export interface Beginning {
  /** Stands behind the two. */
  readonly tar: OuterTarReader;
  /** The bytes of `backup-header`, and what they say. */
  readonly untrustedHeader: Buffer;
  readonly untrustedFields: ReadonlyMap<string, string>;
  /** The bytes of `backup-header.hmac`. */
  readonly untrustedHeaderMac: Buffer;
}
