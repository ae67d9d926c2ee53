import { DamagedError } from '../../../shared/errors.ts';
import type { ArchiveReader, ArchivedFile } from '../archive.ts';
import { LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import { MemberReader, type StoredMember, membersOfPath } from './member-reader.ts';
import { refuseFollowed } from './archive-end.ts';
import type { OuterTarReader } from '../tar/outer-reader.ts';
import { ID_LENGTH } from './chunk-ids.ts';
import { type Coffer1Header, mostStored } from './coffer1-header.ts';
import { LARGEST_MANIFEST, type ManifestMember, parseManifest } from './manifest.ts';
import {
  DATA_PATH,
  MEMBER_KINDS,
  type MemberKind,
  memberKind,
  volumePathOfMap,
} from './member-paths.ts';
import { type Opened, authenticate, openParts, plaintextOf } from './open-parts.ts';
import { parsePartsTable } from './parts-table-text.ts';
import { ReadSoFar } from './read-so-far.ts';
import { brokenFile, smallFile, wholeOf } from './small-files.ts';
import { volumesOf } from './streamed-volumes.ts';
import { parseMap } from './volume-map.ts';

/**
 * Reads a backup that comes as a stream. Every member is authenticated as it comes, so that a storage cannot make any
 * up. At the end, what came is compared with the maps, the table and the manifest.
 */
export class StreamingReader implements ArchiveReader {
  readonly #tar: OuterTarReader;
  readonly #opened: Opened;
  readonly #stored: MemberReader;
  readonly #seen: ReadSoFar;
  #kind: MemberKind = 'file';

  /** @param tar positioned after the header and its MAC, which have been verified */
  constructor(tar: OuterTarReader, opened: Opened, headerMember: ManifestMember) {
    this.#tar = tar;
    this.#opened = opened;
    this.#stored = new MemberReader(tar, opened.header, opened.signal);
    this.#seen = new ReadSoFar(headerMember);
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
    const content = this.#contentOf(QUBES_XML);
    const bytes = await wholeOf(content, LARGEST_QUBES_XML, QUBES_XML);
    this.#seen.noteFile(QUBES_XML);
    return bytes.toString('utf8');
  }

  async *files(wanted: (path: string) => boolean): AsyncGenerator<ArchivedFile, void, undefined> {
    for (let place = await this.#stored.peek(); place; place = await this.#stored.peek()) {
      const { path } = place;
      switch (this.#advanceTo(memberKind(path))) {
        case 'file':
        case 'incomplete':
          yield* this.#smallFile(path, wanted);
          break;
        case 'moved':
          throw new DamagedError(
            'the backup contains parts of others, though its header says it does not',
          );
        case 'data':
          yield* volumesOf(this.#openedParts(), wanted, this.#seen, this.#opened);
          break;
        case 'tree':
          yield* this.#tree(path, wanted);
          break;
        case 'map':
          yield* this.#checkMap(path, wanted);
          break;
        case 'parts':
          await this.#checkTable(path);
          break;
        case 'ids':
          await this.#checkIds(path);
          break;
        case 'manifest':
          return this.#checkManifest(path);
      }
      this.#stored.reclaimMemory();
    }
    throw new DamagedError('the backup is cut short: it has no manifest at its end');
  }

  /** Throws DamagedError if it is too late for members of this kind. */
  #advanceTo(kind: MemberKind): MemberKind {
    if (MEMBER_KINDS.indexOf(kind) < MEMBER_KINDS.indexOf(this.#kind)) {
      throw new DamagedError('the backup is damaged: its members are not in their order');
    }
    this.#kind = kind;
    return kind;
  }

  async *#smallFile(
    path: string,
    wanted: (path: string) => boolean,
  ): AsyncGenerator<ArchivedFile, void, undefined> {
    if (wanted(path)) yield await smallFile(path, this.#contentOf(path));
    await this.#passRest(path);
    this.#seen.noteFile(path);
  }

  async *#tree(
    path: string,
    wanted: (path: string) => boolean,
  ): AsyncGenerator<ArchivedFile, void, undefined> {
    if (wanted(path)) yield { path, innerTar: this.#contentOf(path) };
    await this.#passRest(path);
    this.#seen.noteFile(path);
  }

  /** Checks a volume against its map. A volume of which no part could be read is yielded here, as damaged. */
  async *#checkMap(
    path: string,
    wanted: (path: string) => boolean,
  ): AsyncGenerator<ArchivedFile, void, undefined> {
    const volume = volumePathOfMap(path);
    this.#seen.noteFile(volume);
    if (!wanted(volume)) return this.#passRest(path);
    const map = await parseMap(this.#contentOf(path), volume, this.header.grain);
    const lost = this.#seen.checkMap(map, this.header.backupId);
    if (lost !== undefined) yield brokenFile(volume, map.size, lost);
  }

  async #checkTable(path: string): Promise<void> {
    this.#seen.checkTable(await parsePartsTable(this.#contentOf(path), mostStored(this.header)));
  }

  async #checkIds(path: string): Promise<void> {
    let length = 0;
    for await (const bytes of this.#contentOf(path)) length += bytes.length;
    this.#seen.checkIds(length / ID_LENGTH);
  }

  async #checkManifest(path: string): Promise<void> {
    const content = plaintextOf(
      this.#partsOf(path, () => undefined),
      this.#opened,
    );
    const manifest = parseManifest(await wholeOf(content, LARGEST_MANIFEST, 'the manifest'));
    if (manifest.seriesId !== this.header.seriesId) {
      throw new DamagedError('the manifest of the backup is that of another series');
    }
    this.#seen.checkManifest(manifest);
    if ((await this.#stored.peek()) !== undefined) {
      throw new DamagedError('the backup continues after its manifest');
    }
    refuseFollowed(await this.#tar.behindEnd());
  }

  #contentOf(path: string): AsyncIterable<Buffer> {
    return plaintextOf(
      this.#partsOf(path, (part) => this.#seen.noteMember(part)),
      this.#opened,
    );
  }

  #openedParts(): ReturnType<typeof openParts> {
    const parts = this.#partsOf(DATA_PATH, (part) => this.#seen.notePart(part.size));
    return openParts(parts, this.#opened);
  }

  #partsOf(
    path: string,
    onPart: (part: ManifestMember) => void,
  ): AsyncGenerator<StoredMember, void, undefined> {
    return membersOfPath(this.#stored, path, onPart);
  }

  /**
   * Skips the rest of a path, after the consumer stopped or there was damage. Bounded, since members are authenticated.
   */
  async #passRest(path: string): Promise<void> {
    this.#stored.reclaimMemory();
    while ((await this.#stored.peek())?.path === path) {
      const member = await this.#stored.take();
      this.#seen.noteMember(member);
      const frame = await authenticate(member, this.#opened.key);
      if (frame instanceof DamagedError) this.#seen.countDamage(frame);
      member.release();
    }
  }
}
