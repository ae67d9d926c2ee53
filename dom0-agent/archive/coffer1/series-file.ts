import type { ByteSource, OpenedFile } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { partName } from '../parts/part-name.ts';
import { findManifest, requireEnd } from './archive-end.ts';
import { mostStored } from './coffer1-header.ts';
import { FileEnd } from './file-end.ts';
import {
  LARGEST_MANIFEST,
  MANIFEST_PATH,
  type Manifest,
  type ManifestMember,
  lengthInTar,
  parseManifest,
} from './manifest.ts';
import { KnownMembers } from './known-members.ts';
import { MemberPlaces, type Place } from './member-places.ts';
import type { StoredMember } from './member-reader.ts';
import { type Opened, plaintextOf } from './open-parts.ts';
import { PartOffsets } from './part-offsets.ts';
import { PARTS_PATH, parsePartsTable } from './parts-table-text.ts';
import { wholeOf } from './small-files.ts';

/** A file of a series, opened for seeking: what its manifest lists, and where that is. */
export class SeriesFile {
  readonly input: OpenedFile;
  readonly opened: Opened;
  readonly manifest: Manifest;
  readonly places: MemberPlaces;
  /** The MAC of the manifest in hex, by which the next file of the series names this one. */
  readonly manifestMac: string;
  /** The paths whose members were requested: they have been read, or found to be damaged. */
  readonly #asked = new Set<string>();
  #parts: Promise<PartOffsets> | undefined;
  /** What the table of parts is read from: mostly it came together with the manifest. */
  #tableInput: ByteSource;

  private constructor(input: OpenedFile, opened: Opened, manifest: Manifest, manifestMac: string) {
    this.input = input;
    this.opened = opened;
    this.manifest = manifest;
    this.manifestMac = manifestMac;
    this.places = new MemberPlaces(manifest);
    this.#tableInput = input;
  }

  /** Reads and checks the manifest. Throws DamagedError. */
  static async open(
    input: OpenedFile,
    opened: Opened,
    headerMember: ManifestMember,
  ): Promise<SeriesFile> {
    const end = await FileEnd.of(input);
    const place = await findManifest(end, input.size);
    const to = place.from + lengthInTar(place.size);
    await using stored = new KnownMembers(end.read(place.from, to), opened.header, opened.signal);
    const part = partName(MANIFEST_PATH, 0);
    const member = await stored.take({ part, size: place.size });
    const manifest = parseManifest(
      await wholeOf(plaintextOf(once(member), opened), LARGEST_MANIFEST, 'the manifest'),
    );
    const file = new SeriesFile(input, opened, manifest, member.mac);
    const isOurs = manifest.seriesId === opened.header.seriesId;
    if (!isOurs || file.places.end !== place.from || !isSame(manifest.members[0], headerMember)) {
      throw new DamagedError(
        'the backup is incomplete or was put together from others: its manifest describes other contents',
      );
    }
    await requireEnd(end, to);
    const table = file.places.of(PARTS_PATH);
    file.#tableInput = end.only(table.from, table.to) ?? input;
    return file;
  }

  get backupId(): string {
    return this.opened.header.backupId;
  }

  /** The plaintext of the members of a path. Throws DamagedError. */
  contentOf(path: string): AsyncIterable<Buffer> {
    return plaintextOf(this.storedAt([this.places.of(path)]), this.opened);
  }

  /** The members of all paths that have not been requested yet. */
  async *storedRest(): AsyncGenerator<StoredMember, void, undefined> {
    for (const place of this.places.all()) {
      if (!this.#asked.has(place.path)) yield* this.storedAt([place]);
    }
  }

  /** The members at places that follow each other, compared with the manifest. Throws DamagedError. */
  async *storedAt(
    places: readonly Place[],
    input: ByteSource = this.input,
  ): AsyncGenerator<StoredMember, void, undefined> {
    const from = places[0]?.from ?? 0;
    const bytes = input.read(from, places.at(-1)?.to ?? from);
    const { header, signal } = this.opened;
    await using stored = new KnownMembers(bytes, header, signal);
    for (const { path, members } of places) {
      this.#asked.add(path);
      for (const [index, { size, mac }] of members.entries()) {
        const member = await stored.take({ part: partName(path, index), size });
        if (member.mac !== mac) {
          throw new DamagedError(`${member.name} in the backup is not the one in its manifest`);
        }
        yield member;
      }
    }
    await stored.end();
  }

  /** The table of the parts in this file, with their offsets. Throws DamagedError. */
  parts(): Promise<PartOffsets> {
    this.#parts ??= this.#readTable();
    return this.#parts;
  }

  async #readTable(): Promise<PartOffsets> {
    const stored = this.storedAt([this.places.of(PARTS_PATH)], this.#tableInput);
    this.#tableInput = this.input;
    const bytes = plaintextOf(stored, this.opened);
    const table = await parsePartsTable(bytes, mostStored(this.opened.header));
    return new PartOffsets(table, this.places.parts, this.manifest);
  }
}

function isSame(listed: ManifestMember | undefined, found: ManifestMember): boolean {
  return listed?.name === found.name && listed.size === found.size && listed.mac === found.mac;
}

async function* once(member: StoredMember): AsyncGenerator<StoredMember, void, undefined> {
  yield await Promise.resolve(member);
}
