import type { ByteSource, OpenedFile } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { OuterTarReader } from '../tar/outer-reader.ts';
import { findManifest, refuseFollowed } from './archive-end.ts';
import { mostStored } from './coffer1-header.ts';
import { FileEnd } from './file-end.ts';
import {
  LARGEST_MANIFEST,
  MANIFEST_PATH,
  type Manifest,
  type ManifestMember,
  parseManifest,
} from './manifest.ts';
import { MemberPlaces, type Place } from './member-places.ts';
import { MemberReader, type StoredMember, membersOfPath } from './member-reader.ts';
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
    const from = await findManifest(end, input.size);
    await using tar = new OuterTarReader(end, { from, canonical: true });
    const stored = new MemberReader(tar, opened.header, opened.signal);
    let mac = '';
    const members = membersOfPath(stored, MANIFEST_PATH, (member) => (mac = member.mac));
    const manifest = parseManifest(
      await wholeOf(plaintextOf(members, opened), LARGEST_MANIFEST, 'the manifest'),
    );
    if ((await stored.peek()) !== undefined) {
      throw new DamagedError('the backup continues after its manifest');
    }
    const file = new SeriesFile(input, opened, manifest, mac);
    const isOurs = manifest.seriesId === opened.header.seriesId;
    if (!isOurs || file.places.end !== from || !isSame(manifest.members[0], headerMember)) {
      throw new DamagedError(
        'the backup is incomplete or was put together from others: its manifest describes other contents',
      );
    }
    refuseFollowed(await tar.behindEnd());
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
    const range = { from: places[0]?.from ?? 0, to: places.at(-1)?.to ?? 0 };
    await using tar = new OuterTarReader(input, { ...range, canonical: true });
    const stored = new MemberReader(tar, this.opened.header, this.opened.signal);
    for (const { path, members } of places) {
      this.#asked.add(path);
      let index = 0;
      const check = (member: ManifestMember): void => {
        if (!isSame(members[index++], member)) {
          throw new DamagedError(`${member.name} in the backup is not the one in its manifest`);
        }
      };
      yield* membersOfPath(stored, path, check);
      if (index !== members.length) {
        throw new DamagedError(`the backup does not contain all of ${path}`);
      }
    }
    await requireEnd(stored);
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

/** Throws DamagedError if anything follows. This also checks the padding of the last member. */
export async function requireEnd(stored: MemberReader): Promise<void> {
  if ((await stored.peek()) === undefined) return;
  throw new DamagedError('the backup contains more than its manifest lists');
}

function isSame(listed: ManifestMember | undefined, found: ManifestMember): boolean {
  return listed?.name === found.name && listed.size === found.size && listed.mac === found.mac;
}
