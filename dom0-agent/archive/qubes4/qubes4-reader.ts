import { DamagedError, WrongPassphraseError } from '../../../shared/errors.ts';
import { type ArchiveReader, type ArchivedFile, LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import type { Beginning } from '../untrusted-header.ts';
import { decompress } from '../compress/compression.ts';
import { HEADER_NAME, parseHeaderText } from '../header-text.ts';
import { type HeldPart, filesOfParts, partsOfFile } from '../parts/held-parts.ts';
import { withOfficialReading } from '../qubes3/official-passphrase.ts';
import { readSmallFile } from '../tar/read-small-file.ts';
import { PartWalk } from '../parts/part-walk.ts';
import { openScryptFile, parseScryptHeader, scryptHeaderHolds } from './scrypt-file.ts';
import type { NamedDirectories } from '../parts/stored-bounds.ts';
import { Derivations } from './derivations.ts';
import { type Qubes4Header, parseQubes4Header } from './qubes4-header.ts';
import { MANIFEST_PATH, ManifestCheck, hasManifest, readManifest } from './qubes4-manifest.ts';
import { PartMemory } from './part-memory.ts';
import {
  type Qubes4Secrets,
  type SealedPart,
  holdSealed,
  openedParts,
  sealedPartsAhead,
} from './sealed-parts.ts';

/**
 * Opens an archive of format 4 (docs/official-formats.md): `backup-header.hmac` holds the header, as a
 * scrypt file. Throws WrongPassphraseError, DamagedError, or FailedError when there is no memory for the
 * key derivation.
 */
export async function openQubes4(
  beginning: Beginning,
  given: Buffer,
  signal: AbortSignal,
  forcedFilter?: string,
): Promise<ArchiveReader> {
  const derivations = new Derivations();
  const { passphrase, opened: fields } = await withOfficialReading(given, (passphrase) =>
    verifiedHeader(beginning, passphrase, derivations, signal),
  );
  const header = parseQubes4Header(fields, forcedFilter);
  const secrets = { passphrase, backupId: header.backupId, derivations, signal };
  const manifest = hasManifest(fields) ? new ManifestCheck() : undefined;
  const walk = new PartWalk(beginning.tar, 'enc', undefined, ({ path, name, member }) =>
    manifest?.note(path, name, member.size),
  );
  return new Qubes4Reader(header, walk, secrets, manifest);
}

async function verifiedHeader(
  { untrustedHeader, untrustedHeaderMac }: Beginning,
  passphrase: Buffer,
  derivations: Derivations,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const name = `${HEADER_NAME}.hmac`;
  const parameters = parseScryptHeader(untrustedHeaderMac, name);
  const keys = await derivations.derive(HEADER_NAME, passphrase, parameters, signal);
  if (!scryptHeaderHolds(untrustedHeaderMac, keys)) {
    throw new WrongPassphraseError(
      "the passphrase is wrong, or the backup's header was damaged or tampered with",
    );
  }
  const pieces: Buffer[] = [];
  for await (const piece of openScryptFile(untrustedHeaderMac, keys, name)) pieces.push(piece);
  const header = Buffer.concat(pieces);
  if (!header.equals(untrustedHeader)) {
    throw new DamagedError("the backup's header was damaged or tampered with");
  }
  return parseHeaderText(header);
}

class Qubes4Reader implements ArchiveReader {
  readonly header: Qubes4Header;
  readonly #walk: PartWalk;
  readonly #secrets: Qubes4Secrets;
  /** Archives of the official tools have no manifest. */
  readonly #manifest: ManifestCheck | undefined;

  constructor(
    header: Qubes4Header,
    walk: PartWalk,
    secrets: Qubes4Secrets,
    manifest: ManifestCheck | undefined,
  ) {
    this.header = header;
    this.#walk = walk;
    this.#secrets = secrets;
    this.#manifest = manifest;
  }

  async qubesXml(): Promise<string> {
    const first = await this.#walk.nextOf(QUBES_XML);
    if (first === undefined) {
      throw new DamagedError(
        'the backup does not begin with qubes.xml: it is damaged or incomplete',
      );
    }
    const memory = new PartMemory(Infinity);
    const parts = partsOfFile(this.#walk, first, (part) => holdSealed(part, this.#secrets, memory));
    return (await readSmallFile(this.#innerTar(parts), QUBES_XML, LARGEST_QUBES_XML)).toString(
      'utf8',
    );
  }

  async *files(
    wanted: (path: string) => boolean,
    named?: NamedDirectories,
  ): AsyncGenerator<ArchivedFile, void, undefined> {
    if (named !== undefined) this.#walk.nameDirectories(named);
    const check = this.#manifest;
    if (check === undefined) {
      yield* this.#chosen(wanted);
      return;
    }
    let manifest: string | undefined;
    for await (const file of this.#chosen((path) => path === MANIFEST_PATH || wanted(path))) {
      if (file.path === MANIFEST_PATH) manifest = await readManifest(file.innerTar);
      else yield file;
    }
    check.check(manifest);
  }

  #chosen(wanted: (path: string) => boolean): AsyncIterable<ArchivedFile> {
    return filesOfParts(
      sealedPartsAhead(this.#walk, wanted, this.#secrets),
      (parts) => this.#innerTar(parts),
      (part, inUse) => part.release(inUse),
    );
  }

  #innerTar(parts: AsyncIterable<HeldPart<SealedPart>>): AsyncIterable<Buffer> {
    const plaintext = openedParts(this.#noted(parts));
    const { compressionFilter } = this.header;
    if (compressionFilter === undefined) return plaintext;
    return decompress(compressionFilter, plaintext, this.#secrets.signal);
  }

  /** The same parts; the manifest's check is told what is being opened. */
  async *#noted(
    parts: AsyncIterable<HeldPart<SealedPart>>,
  ): AsyncGenerator<HeldPart<SealedPart>, void, undefined> {
    for await (const part of parts) {
      this.#manifest?.noteBytes(part.name, part.content.untrustedBytes);
      yield part;
    }
  }
}
