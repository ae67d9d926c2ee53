import { DamagedError } from '../../../shared/errors.ts';
import type { ArchiveReader, ArchivedFile } from '../archive.ts';
import { LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import { readSmallFile } from '../tar/read-small-file.ts';
import type { OuterTarReader } from '../tar/outer-reader.ts';
import { parsePartName } from '../parts/part-names.ts';
import { type NamedDirectories, StoredBounds } from '../parts/stored-bounds.ts';
import { refuseFollowed } from './trailing-bytes.ts';
import type { Coffer1Header } from './coffer1-header.ts';
import { type Opened, innerTarOf } from './inner-tar-of.ts';
import { MANIFEST_PATH, type ManifestMember, readManifest } from './manifest.ts';
import { MembersSoFar } from './members-so-far.ts';
import { StoredParts, partsOfNextFile, passFile } from './stored-parts.ts';

/**
 * Reads an archive that comes as a stream: what was read is held against the manifest at the end. Parts that
 * nobody wants are passed over, damaged or not; that a storage cannot make them up without end is seen to by what
 * qubes.xml names, and by what a manifest can list.
 */
export class StreamingReader implements ArchiveReader {
  readonly #tar: OuterTarReader;
  readonly #opened: Opened;
  readonly #stored: StoredParts;
  readonly #soFar: MembersSoFar;
  readonly #bounds = new StoredBounds();
  /** What is wrong with the archive itself. Whoever reads a file learns of it there, and may go on. */
  #flaw: DamagedError | undefined;

  /** `tar` stands behind the header and its MAC, which have been checked. */
  constructor(tar: OuterTarReader, opened: Opened, headerMember: ManifestMember) {
    this.#tar = tar;
    this.#opened = opened;
    this.#stored = new StoredParts(tar, opened.header.partSize);
    this.#soFar = new MembersSoFar(headerMember, opened.header.partSize);
  }

  get header(): Coffer1Header {
    return this.#opened.header;
  }

  async qubesXml(): Promise<string> {
    const place = await this.#stored.peek();
    if (place?.path !== QUBES_XML) {
      throw new DamagedError(
        'the backup does not begin with qubes.xml: it is damaged or incomplete',
      );
    }
    const text = await readSmallFile(this.#innerTar(QUBES_XML), QUBES_XML, LARGEST_QUBES_XML);
    return text.toString('utf8');
  }

  async *files(
    wanted: (path: string) => boolean,
    named?: NamedDirectories,
  ): AsyncGenerator<ArchivedFile, void, undefined> {
    if (named !== undefined) this.#bounds.nameDirectories(named);
    for (let place = await this.#stored.peek(); place; place = await this.#stored.peek()) {
      const { path } = place;
      if (path === MANIFEST_PATH) return this.#checkManifest();
      if (wanted(path)) yield { path, innerTar: this.#innerTar(path) };
      if (this.#flaw !== undefined) throw this.#flaw;
      await passFile(this.#stored, path, this.#note);
    }
    throw new DamagedError('the backup is cut short: it has no manifest at its end');
  }

  readonly #note = (member: ManifestMember): void => {
    const path = parsePartName(member.name)?.path ?? '';
    try {
      if (path !== MANIFEST_PATH) this.#bounds.note(path, member.size);
      this.#soFar.note(member);
    } catch (error) {
      if (error instanceof DamagedError) this.#flaw = error;
      throw error;
    }
  };

  #innerTar(path: string): AsyncIterable<Buffer> {
    return innerTarOf(partsOfNextFile(this.#stored, path, this.#note), this.#opened);
  }

  async #checkManifest(): Promise<void> {
    const manifest = await readManifest(this.#innerTar(MANIFEST_PATH));
    if (!this.#soFar.isListedIn(manifest)) {
      throw new DamagedError(this.#soFar.differenceFrom(manifest));
    }
    if ((await this.#stored.peek()) !== undefined) {
      throw new DamagedError('the backup goes on after its manifest');
    }
    refuseFollowed(await this.#tar.behindEnd());
  }
}
