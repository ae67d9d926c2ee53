import { DamagedError } from '../../../shared/errors.ts';
import type { ArchiveReader, ArchivedFile } from '../archive.ts';
import { LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import { readSmallFile } from '../inner-tar/small-file.ts';
import type { OuterTarReader } from '../outer-tar/reader.ts';
import { refuseFollowed } from './followed.ts';
import type { Coffer1Header } from './header.ts';
import { type Opened, innerTarOf } from './inner-tar-of.ts';
import {
  MANIFEST_PATH,
  type ManifestMember,
  describeDifference,
  isManifestOf,
  readManifest,
} from './manifest.ts';
import { MembersSoFar } from './members-so-far.ts';
import { authenticate } from './seal.ts';
import { StoredParts, partsOfNextFile } from './stored-parts.ts';

/**
 * Reads an archive that comes as a stream: what was read is held against the manifest at the end. Parts that
 * nobody wants are authenticated all the same, or a storage could make up parts without end.
 */
export class StreamingReader implements ArchiveReader {
  readonly #tar: OuterTarReader;
  readonly #opened: Opened;
  readonly #stored: StoredParts;
  readonly #soFar: MembersSoFar;
  readonly #note = (member: ManifestMember): void => this.#soFar.note(member);

  /** `tar` stands behind the header and its MAC, which have been checked. */
  constructor(tar: OuterTarReader, opened: Opened, headerMember: ManifestMember) {
    this.#tar = tar;
    this.#opened = opened;
    this.#stored = new StoredParts(tar, opened.header.partSize);
    this.#soFar = new MembersSoFar(headerMember);
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

  async *files(wanted: (path: string) => boolean): AsyncGenerator<ArchivedFile, void, undefined> {
    for (let place = await this.#stored.peek(); place; place = await this.#stored.peek()) {
      const { path } = place;
      if (path === MANIFEST_PATH) return this.#checkManifest();
      if (wanted(path)) yield { path, innerTar: this.#innerTar(path) };
      await this.#passFile(path);
    }
    throw new DamagedError('the backup is cut short: it has no manifest at its end');
  }

  #innerTar(path: string): AsyncIterable<Buffer> {
    return innerTarOf(partsOfNextFile(this.#stored, path, this.#note), this.#opened);
  }

  /** Passes over what the consumer has left of a file. */
  async #passFile(path: string): Promise<void> {
    this.#stored.reclaimMemory();
    while ((await this.#stored.peek())?.path === path) {
      this.#opened.signal.throwIfAborted();
      const part = await this.#stored.take();
      this.#note(part);
      await authenticate(this.#opened.seal, part.name, part.untrustedStored, part.mac);
      part.release();
    }
  }

  async #checkManifest(): Promise<void> {
    const members = this.#soFar.all;
    const manifest = await readManifest(this.#innerTar(MANIFEST_PATH));
    if (!isManifestOf(manifest, members)) {
      throw new DamagedError(describeDifference(manifest, members));
    }
    if ((await this.#stored.peek()) !== undefined) {
      throw new DamagedError('the backup goes on after its manifest');
    }
    refuseFollowed(await this.#tar.behindEnd());
  }
}
