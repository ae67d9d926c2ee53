import { Readable } from 'node:stream';
import { DamagedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import type { ArchiveReader } from '../archive.ts';
import { decompress } from '../compress/compression.ts';
import {
  LARGEST_OFFICIAL_PART,
  type OpenPart,
  type AuthenticPart,
  type OfficialFormat,
  joinParts,
} from '../official/official-format.ts';
import type { PartName } from '../parts/part-name.ts';
import { LARGEST_MAC, type MemberSource, type UntrustedMember } from '../official/part-reader.ts';
import { OfficialReader } from '../official/official-reader.ts';
import { joinVolumes } from '../tar/multi-volume.ts';
import type { UntrustedHeader } from '../untrusted-header.ts';
import { authenticateHeader, headerFromQubesXml } from './authenticate-header.ts';
import { isAuthentic } from './mac.ts';
import { withOfficialReading } from '../official/official-passphrase.ts';
import { decipher } from './openssl-enc.ts';
import type { Qubes3Header } from './qubes3-header.ts';
import { unzip } from './unzip.ts';

/** How much is passed on at a time. */
const SLICE = 1 * MiB;

/**
 * Opens an archive of format 3 or 2 (docs/official-formats.md). Throws WrongPassphraseError,
 * DamagedError, or FailedError for algorithms that are not available here.
 */
export async function openQubes3(
  first: UntrustedHeader,
  given: Buffer,
  signal: AbortSignal,
  forcedFilter?: string,
): Promise<ArchiveReader> {
  const { passphrase, opened: header } = await withOfficialReading(given, (passphrase) =>
    authenticateHeader(first, passphrase, forcedFilter),
  );
  const format = new Qubes3Format(header, passphrase, signal);
  return new OfficialReader({ header, format, signal }, first.tar);
}

/**
 * Opens an archive of format 2 that has no header. `qubesXml` is its first member, not yet read, and
 * `members` follow it. Throws what `openQubes3` does.
 */
export async function openHeaderless(
  members: MemberSource,
  qubesXml: UntrustedMember,
  given: Buffer,
  signal: AbortSignal,
  forcedFilter?: string,
): Promise<ArchiveReader> {
  const untrustedBytes = await qubesXml.bytes(LARGEST_OFFICIAL_PART);
  const mac = await members.next();
  if (mac?.name !== `${qubesXml.name}.hmac`) {
    throw new DamagedError('the backup is damaged or cut short: no MAC follows its qubes.xml');
  }
  const untrustedMac = await mac.bytes(LARGEST_MAC);
  const { passphrase, opened: header } = await withOfficialReading(given, (passphrase) =>
    headerFromQubesXml(untrustedBytes, untrustedMac.toString('latin1'), passphrase, forcedFilter),
  );
  const format = new Qubes3Format(header, passphrase, signal);
  const read = [asMember(qubesXml.name, untrustedBytes), asMember(mac.name, untrustedMac)];
  const all = { next: async () => read.shift() ?? (await members.next()) };
  return new OfficialReader({ header, format, signal }, all);
}

/** The parts of an archive of format 3 or 2. */
class Qubes3Format implements OfficialFormat {
  readonly naming = 'hmac';
  readonly beginning = 0;
  readonly readAhead = 1;
  readonly #header: Qubes3Header;
  readonly #passphrase: Buffer;
  readonly #signal: AbortSignal;

  constructor(header: Qubes3Header, passphrase: Buffer, signal: AbortSignal) {
    this.#header = header;
    this.#passphrase = passphrase;
    this.#signal = signal;
  }

  /** As openssl printed it. Whether it has the form of a MAC is checked when the part is opened. */
  untrustedMacIn(untrustedBytes: Buffer): string {
    return untrustedBytes.toString('latin1');
  }

  /** Only authenticates: where cipher streams begin and end depends on the version. */
  opener({ name }: PartName): OpenPart {
    const { macAlgorithm } = this.#header;
    return (untrustedBytes, untrustedMac) => {
      if (isAuthentic(macAlgorithm, this.#passphrase, untrustedBytes, untrustedMac)) {
        return Promise.resolve(copies(untrustedBytes));
      }
      return Promise.reject(
        new DamagedError(
          `${name} in the backup was damaged or tampered with: its authentication code does not match`,
        ),
      );
    };
  }

  innerTar(parts: AsyncIterable<AuthenticPart>, path: string): AsyncIterable<Buffer> {
    return this.#header.format === 'qubes-3'
      ? this.#oneStream(parts, path)
      : joinVolumes(this.#volumes(parts), path);
  }

  /** Format 3: one compressed stream, encrypted as one cipher stream and cut into parts. */
  #oneStream(parts: AsyncIterable<AuthenticPart>, path: string): AsyncIterable<Buffer> {
    const plaintext = this.#decipher(joinParts(parts), path);
    return decompress(this.#header.compressionFilter, plaintext, this.#signal);
  }

  /** Format 2: each part is a volume of a tar, compressed and encrypted separately. */
  async *#volumes(
    parts: AsyncIterable<AuthenticPart>,
  ): AsyncGenerator<AsyncIterable<Buffer>, void, undefined> {
    const { compressionFilter } = this.#header;
    for await (const { name, plaintext } of parts) {
      const volume = this.#decipher(Readable.from(plaintext), name);
      if (compressionFilter === 'gzip') yield unzip(volume, name);
      else yield decompress(compressionFilter, volume, this.#signal);
    }
  }

  #decipher(source: AsyncIterable<Buffer>, name: string): AsyncIterable<Buffer> {
    const { cipher } = this.#header;
    return cipher === undefined ? source : decipher(cipher, this.#passphrase, source, name);
  }
}

/** The part's own memory may be reused after the last slice. */
function* copies(bytes: Buffer): Generator<Buffer, void, undefined> {
  for (let from = 0; from < bytes.length; from += SLICE) {
    yield Buffer.from(bytes.subarray(from, from + SLICE));
  }
}

/** A member that has already been read, to be read again. */
function asMember(name: string, untrustedBytes: Buffer): UntrustedMember {
  return {
    name,
    size: untrustedBytes.length,
    bytes: () => Promise.resolve(untrustedBytes),
    async *stream() {
      yield await Promise.resolve(untrustedBytes);
    },
  };
}
