import type { ByteSource } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import type { ArchiveReader, ArchivedFile } from '../archive.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import { LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import { findManifest, refuseFollowed } from './archive-end.ts';
import { MemberReader, type StoredMember, membersOfPath } from './member-reader.ts';
import { OuterTarReader } from '../tar/outer-reader.ts';
import { type Coffer1Header, mostStored } from './coffer1-header.ts';
import {
  LARGEST_MANIFEST,
  MANIFEST_PATH,
  type Manifest,
  type ManifestFile,
  type ManifestMember,
  parseManifest,
} from './manifest.ts';
import { MemberPlaces, type Place } from './member-places.ts';
import {
  type Opened,
  type OpenedPart,
  authenticateParts,
  openParts,
  plaintextOf,
} from './open-parts.ts';
import { chunksOf } from './part-text.ts';
import { PARTS_PATH, PartsTable, parsePartsTable } from './parts-table.ts';
import { PartOffsets } from './part-offsets.ts';
import { smallFile, wholeOf } from './small-files.ts';
import { VolumeCheck } from './volume-check.ts';
import { type Visit, visitsOf } from './visits.ts';
import { mapPath, parseMap } from './volume-map.ts';
import { DATA_PATH } from './member-paths.ts';

/**
 * Reads a backup in a file: its manifest first, then only what is wanted: of a volume its map, and the parts
 * that this names.
 */
export class SeekingReader implements ArchiveReader {
  readonly #input: ByteSource;
  readonly #opened: Opened;
  readonly #manifest: Manifest;
  readonly #places: MemberPlaces;
  /** The paths of which the members were read, or are found to be damaged. */
  readonly #asked = new Set<string>();
  #parts: Promise<PartOffsets> | undefined;

  private constructor(input: ByteSource, opened: Opened, manifest: Manifest) {
    this.#input = input;
    this.#opened = opened;
    this.#manifest = manifest;
    this.#places = new MemberPlaces(manifest);
  }

  /** Reads and checks the manifest of the backup of `size` bytes. Throws DamagedError. */
  static async open(
    input: ByteSource,
    size: number,
    opened: Opened,
    headerMember: ManifestMember,
  ): Promise<SeekingReader> {
    const from = await findManifest(input, size);
    await using tar = new OuterTarReader(input, { from, canonical: true });
    const stored = new MemberReader(tar, opened.header, opened.signal);
    const parts = membersOfPath(stored, MANIFEST_PATH, () => undefined);
    const manifest = parseManifest(
      await wholeOf(plaintextOf(parts, opened), LARGEST_MANIFEST, 'the manifest'),
    );
    if ((await stored.peek()) !== undefined) {
      throw new DamagedError('the backup goes on after its manifest');
    }
    const reader = new SeekingReader(input, opened, manifest);
    const isOurs = manifest.seriesId === opened.header.seriesId;
    if (!isOurs || reader.#places.end !== from || !isSame(manifest.members[0], headerMember)) {
      throw new DamagedError(
        'the backup is incomplete or was put together from others: its manifest tells of other contents',
      );
    }
    refuseFollowed(await tar.behindEnd());
    return reader;
  }

  get header(): Coffer1Header {
    return this.#opened.header;
  }

  async qubesXml(): Promise<string> {
    const content = this.#contentOf(QUBES_XML);
    return (await wholeOf(content, LARGEST_QUBES_XML, QUBES_XML)).toString('utf8');
  }

  async *files(wanted: (path: string) => boolean): AsyncGenerator<ArchivedFile, void, undefined> {
    let all = true;
    let firstPart = 0;
    for (const file of this.#manifest.files) {
      const ownParts = { from: firstPart, to: firstPart + (file.volume?.parts ?? 0) };
      firstPart = ownParts.to;
      if (!wanted(file.path)) {
        all &&= file.path === QUBES_XML;
        continue;
      }
      if (file.volume !== undefined) yield this.#volume(file, ownParts);
      else if (file.path.startsWith('dom0-home/')) yield this.#tree(file.path);
      else yield await smallFile(file.path, this.#contentOf(file.path));
    }
    if (all) await this.#checkRest();
  }

  /** Authenticates all that no file needs: with every file, each byte of the backup was looked at then. */
  async #checkRest(): Promise<void> {
    for (const place of this.#places.all()) {
      if (this.#asked.has(place.path)) continue;
      await authenticateParts(this.#storedAt(place), this.#opened.key);
    }
  }

  #tree(path: string): ArchivedFile {
    return { path, innerTar: this.#contentOf(path) };
  }

  #volume(file: ManifestFile, ownParts: PartRange): ArchivedFile {
    return { path: file.path, size: file.size, pieces: () => this.#piecesOf(file, ownParts) };
  }

  async *#piecesOf(
    { path, size, volume }: ManifestFile,
    ownParts: PartRange,
  ): AsyncGenerator<DataPiece, void, undefined> {
    const { header, key } = this.#opened;
    const map = await parseMap(this.#contentOf(mapPath(path)), path, header.grain);
    if (map.size !== size || map.chunks !== volume?.chunks) {
      throw new DamagedError(`${path} in the backup is not what its manifest tells of`);
    }
    if (map.backups.some((id) => id !== header.backupId)) {
      throw new DamagedError(`${path} in the backup lies in other files than this one`);
    }
    const parts = await this.#partOffsets();
    const check = new VolumeCheck(key.root, map, header.grain);
    for (const stretch of stretchesOf(visitsOf(map.runs))) {
      parts.require(stretch, path);
      yield* this.#piecesOfStretch(stretch, parts, check);
    }
    check.end();
    check.hold(map);
    // Of a volume without data there is one part, to say so.
    if (map.chunks === 0) {
      const { from, to } = ownParts;
      parts.requireRange(ownParts, path);
      await authenticateParts(this.#storedParts(parts, from, to), this.#opened.key);
    }
  }

  /** The pieces of parts that lie one behind the other. */
  async *#piecesOfStretch(
    stretch: readonly Visit[],
    parts: PartOffsets,
    check: VolumeCheck,
  ): AsyncGenerator<DataPiece, void, undefined> {
    const from = stretch[0]?.part ?? 0;
    const stored = this.#storedParts(parts, from, from + stretch.length);
    let visited = 0;
    for await (const part of openParts(stored, this.#opened)) {
      const visit = stretch[visited++];
      if (visit === undefined) break;
      const chunks = await chunksIn(part, parts.table);
      for (const { first, count, offset } of visit.runs) {
        for (let i = 0; i < count; i++) {
          const chunk = chunks[offset + i];
          if (chunk === undefined) throw new RangeError(`part ${visit.part} has no such chunk`);
          yield* check.pieces(first + i, chunk);
        }
      }
    }
  }

  #contentOf(path: string): AsyncIterable<Buffer> {
    return plaintextOf(this.#storedAt(this.#places.of(path)), this.#opened);
  }

  /** The members of a file, each held against the manifest. */
  async *#storedAt({
    path,
    from,
    to,
    members,
  }: Place): AsyncGenerator<StoredMember, void, undefined> {
    this.#asked.add(path);
    await using tar = new OuterTarReader(this.#input, { from, to, canonical: true });
    const stored = new MemberReader(tar, this.header, this.#opened.signal);
    let index = 0;
    const check = (part: ManifestMember): void => {
      if (!isSame(members[index++], part)) {
        throw new DamagedError(
          `${part.name} in the backup is not the one that its manifest tells of`,
        );
      }
    };
    yield* membersOfPath(stored, path, check);
    if (index !== members.length) {
      throw new DamagedError(`the backup does not hold the whole of ${path}`);
    }
    await requireEnd(stored);
  }

  /** Parts of volumes from number `from` up to, not including, `to`. */
  async *#storedParts(
    parts: PartOffsets,
    from: number,
    to: number,
  ): AsyncGenerator<StoredMember, void, undefined> {
    const range = { from: parts.offset(from), to: parts.offset(to) };
    await using tar = new OuterTarReader(this.#input, { ...range, canonical: true });
    const stored = new MemberReader(tar, this.header, this.#opened.signal);
    for (let number = from; number < to; number++) {
      const place = await stored.peek();
      if (place?.path !== DATA_PATH || place.index !== number) {
        throw new DamagedError(`part ${number} of the volumes is not where it should be`);
      }
      const part = await stored.take();
      if (part.size !== parts.table.at(number).size) {
        throw new DamagedError(`${part.name} in the backup is not the one that its table tells of`);
      }
      yield part;
    }
    await requireEnd(stored);
  }

  #partOffsets(): Promise<PartOffsets> {
    this.#parts ??= this.#readTable();
    return this.#parts;
  }

  async #readTable(): Promise<PartOffsets> {
    const content = this.#contentOf(PARTS_PATH);
    const table = await parsePartsTable(content, mostStored(this.header));
    return new PartOffsets(table, this.#places.parts, this.#manifest);
  }
}

/** Parts by their numbers: `from` up to, not including, `to`. */
interface PartRange {
  readonly from: number;
  readonly to: number;
}

/** What fills the last block is looked at with the end. */
async function requireEnd(stored: MemberReader): Promise<void> {
  if ((await stored.peek()) === undefined) return;
  throw new DamagedError('the backup holds more than its manifest tells of');
}

function isSame(listed: ManifestMember | undefined, found: ManifestMember): boolean {
  return listed?.name === found.name && listed.size === found.size && listed.mac === found.mac;
}

/** Visits to parts that lie one behind the other. */
function* stretchesOf(visits: Iterable<Visit>): Generator<Visit[], void, undefined> {
  let stretch: Visit[] = [];
  for (const visit of visits) {
    const last = stretch.at(-1);
    if (last !== undefined && visit.part !== last.part + 1) {
      yield stretch;
      stretch = [];
    }
    stretch.push(visit);
  }
  if (stretch.length > 0) yield stretch;
}

async function chunksIn(part: OpenedPart, table: PartsTable): Promise<Buffer[]> {
  if ('damage' in part) throw part.damage;
  if (chunksOf(part.text) !== table.at(part.number).chunks) {
    throw new DamagedError(`part ${part.number} of the volumes is not what its table tells of`);
  }
  const chunks: Buffer[] = [];
  for await (const chunk of part.chunks()) chunks.push(chunk);
  return chunks;
}
