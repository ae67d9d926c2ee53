import { DamagedError } from '../../../shared/errors.ts';
import type { ArchiveReader, ArchivedFile } from '../archive.ts';
import { LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import { readSmallFile } from '../inner-tar/small-file.ts';
import type { OuterTarReader } from '../outer-tar/reader.ts';
import type { Coffer1Header } from './header.ts';
import { type Opened, innerTarOf } from './inner-tar-of.ts';
import {
  MANIFEST_PATH,
  type ManifestMember,
  describeDifference,
  isManifestOf,
  readManifest,
} from './manifest.ts';
import { StoredParts, partsOfNextFile, passFile } from './stored-parts.ts';

/** Reads an archive that comes as a stream: what was read is held against the manifest at the end. */
export class StreamingReader implements ArchiveReader {
  readonly #opened: Opened;
  readonly #stored: StoredParts;
  readonly #members: ManifestMember[];
  readonly #pathsSeen = new Set<string>();
  readonly #record = (member: ManifestMember): void => {
    this.#members.push({ name: member.name, size: member.size, mac: member.mac });
  };

  /** `tar` stands behind the header and its MAC, which have been checked. */
  constructor(tar: OuterTarReader, opened: Opened, headerMember: ManifestMember) {
    this.#opened = opened;
    this.#stored = new StoredParts(tar, opened.header.partSize);
    this.#members = [headerMember];
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
    return (await this.#readSmall(QUBES_XML, LARGEST_QUBES_XML)).toString('utf8');
  }

  async *files(wanted: (path: string) => boolean): AsyncGenerator<ArchivedFile, void, undefined> {
    for (let place = await this.#stored.peek(); place; place = await this.#stored.peek()) {
      if (place.path === MANIFEST_PATH) return this.#checkManifest();
      if (this.#pathsSeen.has(place.path)) {
        throw new DamagedError(`the backup holds ${place.path} twice`);
      }
      this.#pathsSeen.add(place.path);
      if (wanted(place.path)) yield { path: place.path, innerTar: this.#innerTar(place.path) };
      await passFile(this.#stored, place.path, this.#record);
    }
    throw new DamagedError('the backup is cut short: it has no manifest at its end');
  }

  #innerTar(path: string): AsyncIterable<Buffer> {
    return innerTarOf(partsOfNextFile(this.#stored, path, this.#record), this.#opened);
  }

  async #readSmall(path: string, limit: number): Promise<Buffer> {
    this.#pathsSeen.add(path);
    return readSmallFile(this.#innerTar(path), path, limit);
  }

  async #checkManifest(): Promise<void> {
    // The manifest does not list itself, and is read as another file is.
    const members = [...this.#members];
    const manifest = await readManifest(this.#innerTar(MANIFEST_PATH));
    if (!isManifestOf(manifest, members)) {
      throw new DamagedError(describeDifference(manifest, members));
    }
    if ((await this.#stored.peek()) !== undefined) {
      throw new DamagedError('the backup goes on after its manifest');
    }
  }
}
