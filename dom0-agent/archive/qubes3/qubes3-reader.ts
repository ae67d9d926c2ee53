import { DamagedError } from '../../../shared/errors.ts';
import { type ArchiveReader, type ArchivedFile, LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import type { Beginning } from '../untrusted-header.ts';
import { type HeldPart, filesOfParts, heldParts, partsOfFile } from '../parts/held-parts.ts';
import { readSmallFile } from '../tar/read-small-file.ts';
import { withOfficialReading } from './official-passphrase.ts';
import type { OuterMember, OuterTarReader } from '../tar/outer-reader.ts';
import { PartWalk, type WalkedPart } from '../parts/part-walk.ts';
import type { NamedDirectories } from '../parts/stored-bounds.ts';
import type { Qubes3Header } from './qubes3-header.ts';
import { innerTarOf } from './inner-tar-of.ts';
import { type MacedPart, holdMaced } from './maced-parts.ts';
import { headerFromContent, verifiedHeader } from './verified-header.ts';

/**
 * Opens an archive of format 3 or 2 (docs/official-formats.md). Throws WrongPassphraseError,
 * DamagedError, or FailedError for algorithms that this machine does not offer.
 */
export async function openQubes3(
  beginning: Beginning,
  given: Buffer,
  signal: AbortSignal,
  forcedFilter?: string,
): Promise<ArchiveReader> {
  const { passphrase, opened: header } = await withOfficialReading(given, (passphrase) =>
    verifiedHeader(beginning, passphrase, forcedFilter),
  );
  const walk = new PartWalk(beginning.tar, 'hmac');
  const { first, content } = await holdQubesXml(walk);
  return new Qubes3Reader(header, walk, first, content, passphrase, signal);
}

/**
 * Opens an archive of format 2 that has no header. `qubesXml` is its first member, not yet read, and
 * `tar` stands behind it. Throws as `openQubes3` does.
 */
export async function openHeaderless(
  tar: OuterTarReader,
  qubesXml: OuterMember,
  given: Buffer,
  signal: AbortSignal,
  forcedFilter?: string,
): Promise<ArchiveReader> {
  const walk = new PartWalk(tar, 'hmac', qubesXml);
  const { first, content } = await holdQubesXml(walk);
  const { passphrase, opened: header } = await withOfficialReading(given, (passphrase) =>
    headerFromContent(content, passphrase, forcedFilter),
  );
  return new Qubes3Reader(header, walk, first, content, passphrase, signal);
}

async function holdQubesXml(walk: PartWalk): Promise<{ first: WalkedPart; content: MacedPart }> {
  const first = await walk.nextOf(QUBES_XML);
  if (first === undefined) {
    throw new DamagedError('the backup does not begin with qubes.xml: it is damaged or incomplete');
  }
  return { first, content: await holdMaced(walk, first) };
}

class Qubes3Reader implements ArchiveReader {
  readonly header: Qubes3Header;
  readonly #walk: PartWalk;
  /** The first part of qubes.xml. */
  readonly #first: WalkedPart;
  readonly #content: MacedPart;
  readonly #passphrase: Buffer;
  readonly #signal: AbortSignal;

  constructor(
    header: Qubes3Header,
    walk: PartWalk,
    first: WalkedPart,
    content: MacedPart,
    passphrase: Buffer,
    signal: AbortSignal,
  ) {
    this.header = header;
    this.#walk = walk;
    this.#first = first;
    this.#content = content;
    this.#passphrase = passphrase;
    this.#signal = signal;
  }

  async qubesXml(): Promise<string> {
    const parts = partsOfFile(this.#walk, this.#first, (part) =>
      part === this.#first ? Promise.resolve(this.#content) : holdMaced(this.#walk, part),
    );
    const innerTar = this.#innerTar(parts, QUBES_XML);
    return (await readSmallFile(innerTar, QUBES_XML, LARGEST_QUBES_XML)).toString('utf8');
  }

  files(wanted: (path: string) => boolean, named?: NamedDirectories): AsyncIterable<ArchivedFile> {
    if (named !== undefined) this.#walk.nameDirectories(named);
    const parts = heldParts(this.#walk, wanted, (part) => holdMaced(this.#walk, part));
    return filesOfParts(parts, (ofFile, path) => this.#innerTar(ofFile, path));
  }

  #innerTar(parts: AsyncIterable<HeldPart<MacedPart>>, path: string): AsyncIterable<Buffer> {
    return innerTarOf(parts, path, this.header, this.#passphrase, this.#signal);
  }
}
