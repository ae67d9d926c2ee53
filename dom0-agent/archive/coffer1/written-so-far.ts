import type { VolumeContent } from '../content.ts';
import type { Cut } from './coffer1-header.ts';
import { type EarlierFiles, holdAllOf, knownChunks } from './earlier-files.ts';
import { KnownChunks } from './known-chunks.ts';
import {
  type Manifest,
  type ManifestFile,
  type ManifestMember,
  type NamedFile,
  type PartsBornIn,
  lengthInTar,
} from './manifest.ts';
import { NeededChunks } from './needed-chunks.ts';
import { PartsTable } from './parts-table.ts';
import type { SeriesKey } from './series-key.ts';
import type { VolumeMap } from './volume-map.ts';
import type { PlainPart } from './volume-parts.ts';
import { type KnownBefore, WrittenVolume } from './written-volume.ts';

/** The place of a file in its series. */
export interface PlaceInSeries {
  /** Its number among the files of the series, from 1. */
  readonly sequence: number;
  /** The file before it; undefined for the first one. */
  readonly previous: NamedFile | undefined;
}

/** A part that is being written, with the volume that it is of. */
export interface WrittenPart extends Pick<PlainPart, 'place' | 'text' | 'ids'> {
  readonly volume: WrittenVolume;
}

/** A volume that has not changed: its last map is used again. */
interface KeptVolume {
  readonly content: VolumeContent;
  readonly kept: VolumeMap;
}

/** What has been written of a backup. The end of its file follows from that: maps, table, ids, manifest. */
export class WrittenSoFar {
  readonly table = new PartsTable();
  readonly #key: SeriesKey;
  readonly #backupId: string;
  readonly #cut: Cut;
  readonly #earlier: EarlierFiles | undefined;
  readonly #members: ManifestMember[] = [];
  readonly #files: (ManifestFile | WrittenVolume | KeptVolume)[] = [];
  /** The ids of all chunks, one buffer for each part, in the order of the parts. */
  readonly #ids: Buffer[] = [];
  /** The known chunks of the domains that several volumes share. */
  readonly #shared = new Map<string, KnownChunks>();
  #maps: readonly VolumeMap[] | undefined;
  #partsBefore: number | undefined;
  #partsLength = 0;

  /** @param earlier the files that the backup may refer to; undefined if it must need no other file */
  constructor(key: SeriesKey, backupId: string, cut: Cut, earlier: EarlierFiles | undefined) {
    this.#key = key;
    this.#backupId = backupId;
    this.#cut = cut;
    this.#earlier = earlier;
  }

  get ids(): Iterable<Buffer> {
    return this.#ids;
  }

  addFile(path: string, size: number): void {
    this.#files.push({ path, size });
  }

  /** Adds a volume. Undefined if nothing of it has to be written. */
  async addVolume(content: VolumeContent): Promise<WrittenVolume | undefined> {
    const last = await this.#lastMap(content);
    if (last !== undefined && this.#isAsItWas(content, last)) {
      this.#files.push({ content, kept: last });
      return undefined;
    }
    const known = await this.#knownBefore(content, last);
    const volume = new WrittenVolume(content, this.#key, this.#cut.grain, known);
    this.#files.push(volume);
    return volume;
  }

  /** Notes a part that was made: its chunks need not be stored again for other volumes in the same domain. */
  notePart({ volume, place: { backupId, part }, ids }: WrittenPart): void {
    if (backupId === this.#backupId) volume.parts++;
    this.#shared.get(volume.content.domain)?.addPart(backupId, part, Buffer.concat(ids));
  }

  /** Notes a member that was stored in the backup's own file. Members come in the order of the archive. */
  note(member: ManifestMember, part: WrittenPart | undefined): void {
    if (part === undefined) {
      this.#members.push(member);
      return;
    }
    this.#partsBefore ??= this.#members.length;
    this.#partsLength += lengthInTar(member.size);
    const { volume, ids } = part;
    this.#ids.push(Buffer.concat(ids));
    const { domain } = volume.content;
    this.table.add({ size: member.size, chunks: ids.length, domain });
  }

  /** The maps of the volumes, in order. To be used once all parts have been stored. */
  get maps(): readonly VolumeMap[] {
    this.#maps ??= this.#files.flatMap((file) => {
      if (file instanceof WrittenVolume) return [file.map()];
      return 'kept' in file ? [{ ...file.kept, path: file.content.path }] : [];
    });
    return this.#maps;
  }

  /** The origins of the volumes that differ from their last backup. */
  get changed(): ReadonlySet<string> {
    const last = new Map(
      this.#files.flatMap((file) =>
        file instanceof WrittenVolume && file.lastMap !== undefined
          ? [[file.content.origin, file.lastMap] as const]
          : 'kept' in file
            ? [[file.content.origin, file.kept] as const]
            : [],
      ),
    );
    const isAsItWas = ({ origin, digest, size }: VolumeMap): boolean =>
      last.get(origin)?.digest === digest && last.get(origin)?.size === size;
    return new Set(this.maps.filter((map) => !isAsItWas(map)).map(({ origin }) => origin));
  }

  /** How many chunks are in no earlier file. */
  get newChunks(): number {
    const volumes = this.#files.filter((file) => file instanceof WrittenVolume);
    return volumes.reduce((sum, { newChunks }) => sum + newChunks, 0);
  }

  /** The manifest. To be used once everything else has been stored. */
  manifest(seriesId: string, { sequence, previous }: PlaceInSeries, created: Date): Manifest {
    return {
      ...{ seriesId, sequence, previous, needs: this.needs(), holds: [] },
      made: `${created.toISOString().slice(0, 19)}Z`,
      members: this.#members,
      parts: this.table.length,
      partsBefore: this.#partsBefore ?? this.#members.length,
      partsLength: this.#partsLength,
      files: this.#manifestFiles(),
    };
  }

  #manifestFiles(): ManifestFile[] {
    const chunks = new Map(this.maps.map((map) => [map.path, map.chunks]));
    return this.#files.map((file) => {
      if (!('content' in file)) return file;
      const { path, size } = file.content;
      const parts = 'kept' in file ? 0 : file.parts;
      return { path, size, volume: { chunks: chunks.get(path) ?? 0, parts } };
    });
  }

  /** What the maps refer to in other files, ascending by id. */
  needs(): PartsBornIn[] {
    const needed = new NeededChunks();
    for (const map of this.maps) needed.add(map);
    const parts = new Map<string, number>();
    for (const { bornIn } of needed.parts()) parts.set(bornIn, (parts.get(bornIn) ?? 0) + 1);
    parts.delete(this.#backupId);
    const born = Array.from(parts, ([backupId, count]) => ({ backupId, parts: count }));
    return born.sort((one, other) => (one.backupId < other.backupId ? -1 : 1));
  }

  /** The last map of a volume; undefined if there is none that this file can continue from. */
  async #lastMap({ origin, domain }: VolumeContent): Promise<VolumeMap | undefined> {
    const map = await this.#earlier?.lastMap(origin);
    return map?.domain === domain && map.grain === this.#cut.grain ? map : undefined;
  }

  #isAsItWas({ changed, check, size }: VolumeContent, last: VolumeMap): boolean {
    const isUnchanged = changed?.length === 0 && check === undefined && size === last.size;
    return isUnchanged && holdAllOf(this.#earlier?.files ?? [], last);
  }

  async #knownBefore(
    { domain, origin }: VolumeContent,
    lastMap: VolumeMap | undefined,
  ): Promise<KnownBefore | undefined> {
    if (this.#earlier === undefined) return undefined;
    const chunks =
      this.#shared.get(domain) ?? (await knownChunks(this.#earlier.files, domain, lastMap));
    if (domain !== origin) this.#shared.set(domain, chunks);
    return { chunks, lastMap };
  }
}
