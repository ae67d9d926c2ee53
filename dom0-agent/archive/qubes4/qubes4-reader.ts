import { DamagedError, WrongPassphraseError } from '../../../shared/errors.ts';
import type { ArchiveReader } from '../archive.ts';
import { decompress } from '../compress/compression.ts';
import {
  type OpenPart,
  type AuthenticPart,
  type OfficialFormat,
  joinParts,
} from '../official/official-format.ts';
import type { PartName } from '../parts/part-name.ts';
import { prefetch } from '../parts/prefetch.ts';
import { OfficialReader } from '../official/official-reader.ts';
import { withOfficialReading } from '../official/official-passphrase.ts';
import { HEADER_NAME, type UntrustedHeader, parseHeaderText } from '../untrusted-header.ts';
import { Derivations } from './derivations.ts';
import { type Qubes4Header, hasManifest, parseQubes4Header } from './qubes4-header.ts';
import { Qubes4Manifest } from './qubes4-manifest.ts';
import {
  SCRYPT_HEADER,
  SCRYPT_MAC,
  type ScryptKeys,
  isHeaderAuthentic,
  openScryptFile,
  parseScryptHeader,
} from './scrypt-file.ts';

/**
 * Opens an archive of format 4 (docs/official-formats.md): `backup-header.hmac` contains the header as a
 * scrypt file. Throws WrongPassphraseError, DamagedError, or FailedError when there is not enough memory for
 * the key derivation.
 */
export async function openQubes4(
  first: UntrustedHeader,
  given: Buffer,
  signal: AbortSignal,
  forcedFilter?: string,
): Promise<ArchiveReader> {
  const derivations = new Derivations();
  const { passphrase, opened: fields } = await withOfficialReading(given, (passphrase) =>
    authenticatedFields(first, passphrase, derivations, signal),
  );
  const header = parseQubes4Header(fields, forcedFilter);
  const format = new Qubes4Format(header, passphrase, derivations, signal);
  // Archives of the official tools have none.
  const members = hasManifest(fields) ? new Qubes4Manifest() : undefined;
  return new OfficialReader({ header, format, members, signal }, first.tar);
}

async function authenticatedFields(
  { untrustedBytes, untrustedMac }: UntrustedHeader,
  passphrase: Buffer,
  derivations: Derivations,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const name = `${HEADER_NAME}.hmac`;
  const parameters = parseScryptHeader(untrustedMac, name);
  const keys = await derivations.derive(HEADER_NAME, passphrase, parameters, signal);
  if (!isHeaderAuthentic(untrustedMac, keys)) {
    throw new WrongPassphraseError(
      "the passphrase is wrong, or the backup's header was damaged or tampered with",
    );
  }
  const header = Buffer.concat([...(await openScryptFile(untrustedMac, keys, name))]);
  if (!header.equals(untrustedBytes)) {
    throw new DamagedError("the backup's header was damaged or tampered with");
  }
  return parseHeaderText(header);
}

/** The parts of an archive of format 4: each is a file of the scrypt utility, with its own key. */
class Qubes4Format implements OfficialFormat {
  readonly naming = 'enc';
  /** A part's key is derived as soon as its first bytes have arrived, many at the same time: each takes seconds. */
  readonly beginning = SCRYPT_HEADER;
  readonly readAhead = 32;
  readonly #header: Qubes4Header;
  readonly #passphrase: Buffer;
  readonly #derivations: Derivations;
  readonly #signal: AbortSignal;

  constructor(
    header: Qubes4Header,
    passphrase: Buffer,
    derivations: Derivations,
    signal: AbortSignal,
  ) {
    this.#header = header;
    this.#passphrase = passphrase;
    this.#derivations = derivations;
    this.#signal = signal;
  }

  untrustedMacIn(untrustedBytes: Buffer): string {
    return untrustedBytes.subarray(-SCRYPT_MAC).toString('hex');
  }

  opener({ name }: PartName, untrustedHeader: Buffer, signal: AbortSignal): OpenPart {
    const keys = this.#keysOf(name, untrustedHeader, signal);
    // Its error is thrown when the part is opened; until then it is not unhandled.
    void Promise.allSettled([keys]);
    return async (untrustedBytes) => openScryptFile(untrustedBytes, await keys, name);
  }

  innerTar(parts: AsyncIterable<AuthenticPart>): AsyncIterable<Buffer> {
    return decompress(this.#header.compressionFilter, prefetch(joinParts(parts)), this.#signal);
  }

  /** A part's keys are derived from the backup's id and the part's name, so that it fits nowhere else. */
  async #keysOf(name: string, untrustedHeader: Buffer, signal: AbortSignal): Promise<ScryptKeys> {
    const parameters = parseScryptHeader(untrustedHeader, name);
    const place = `${this.#header.backupId}!${name}`;
    const keys = await this.#derivations.derive(place, this.#passphrase, parameters, signal);
    if (isHeaderAuthentic(untrustedHeader, keys)) return keys;
    throw new DamagedError(
      `${name} in the backup was damaged or tampered with, or belongs to another place or backup`,
    );
  }
}
