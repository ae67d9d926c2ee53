import type { VolumeContent } from '../content.ts';
import { ChunkIds, ID_LENGTH } from './chunk-ids.ts';
import { type Cut, PART_TEXT_LENGTH } from './coffer1-header.ts';
import { type Manifest, type ManifestFile, type ManifestMember, lengthInTar } from './manifest.ts';
import type { PartText } from './part-text.ts';
import { PartsTable } from './parts-table.ts';
import { Runs } from './runs.ts';
import type { SeriesKey } from './series-key.ts';
import type { VolumeMap } from './volume-map.ts';

/** A volume of which parts are being written. */
interface WrittenVolume {
  readonly path: string;
  readonly size: number;
  readonly domain: string;
  readonly origin: string;
  readonly chunkIds: ChunkIds;
  readonly runs: Runs;
  parts: number;
}

/** A part on its way, and the ids of its chunks once they are known. */
export interface IdentifiedPart {
  readonly volume: WrittenVolume;
  readonly text: PartText;
  readonly ids: Buffer[];
}

/** What was written of a backup, from which follows how it is closed: maps, table, ids, manifest. */
export class WrittenSoFar {
  readonly table = new PartsTable();
  readonly #key: SeriesKey;
  readonly #series: { readonly seriesId: string; readonly backupId: string; readonly cut: Cut };
  readonly #members: ManifestMember[] = [];
  readonly #files: (ManifestFile | WrittenVolume)[] = [];
  /** The ids of all chunks, a part's in one buffer, in the order of the parts. */
  readonly #ids: Buffer[] = [];
  #partsBefore: number | undefined;
  #partsLength = 0;
  #partsBegun = 0;

  constructor(
    key: SeriesKey,
    series: { readonly seriesId: string; readonly backupId: string; readonly cut: Cut },
  ) {
    this.#key = key;
    this.#series = series;
  }

  get ids(): Iterable<Buffer> {
    return this.#ids;
  }

  addFile(path: string, size: number): void {
    this.#files.push({ path, size });
  }

  addVolume({ path, size, domain, origin }: VolumeContent): WrittenVolume {
    const chunkIds = new ChunkIds(this.#key, domain);
    const volume = { path, size, domain, origin, chunkIds, runs: new Runs(), parts: 0 };
    this.#files.push(volume);
    return volume;
  }

  /** The number of the part that is made next. */
  nextPart(): number {
    return this.#partsBegun++;
  }

  /** Gives the chunks of a part their ids. */
  identify(bytes: Buffer, part: IdentifiedPart | undefined): void {
    const { grain } = this.#series.cut;
    if (part === undefined) return;
    for (let at = PART_TEXT_LENGTH; at < bytes.length; at += grain) {
      part.ids.push(part.volume.chunkIds.idOf(bytes.subarray(at, at + grain)));
    }
  }

  /** A member was stored; those of a kind come in their order. */
  note(member: ManifestMember, part: IdentifiedPart | undefined): void {
    if (part === undefined) {
      this.#members.push(member);
      return;
    }
    this.#partsBefore ??= this.#members.length;
    this.#partsLength += lengthInTar(member.size);
    const { volume, text, ids } = part;
    const number = this.table.length;
    let offset = 0;
    for (const { first, count } of text.runs) {
      volume.runs.add({ first, count, backup: 0, part: number, offset });
      for (let i = 0; i < count; i++) volume.chunkIds.add(first + i, ids[offset + i] ?? NO_ID);
      offset += count;
    }
    volume.parts++;
    this.#ids.push(Buffer.concat(ids));
    this.table.add({ size: member.size, chunks: ids.length, domain: volume.domain });
  }

  /** Once, when all parts were stored: the maps of the volumes, in their order. */
  *maps(): Generator<VolumeMap, void, undefined> {
    const { backupId, cut } = this.#series;
    for (const file of this.#files) {
      if (!('chunkIds' in file)) continue;
      const { path, size, domain, origin, runs, chunkIds } = file;
      const backups = runs.length === 0 ? [] : [backupId];
      const { chunks } = chunkIds;
      const digest = chunkIds.digest();
      yield { path, size, domain, origin, grain: cut.grain, backups, runs, chunks, digest };
    }
  }

  /** When all else was stored. */
  manifest(created: Date): Manifest {
    return {
      seriesId: this.#series.seriesId,
      ...{ sequence: 1, previous: undefined, needs: [], holds: [] },
      made: `${created.toISOString().slice(0, 19)}Z`,
      members: this.#members,
      parts: this.table.length,
      partsBefore: this.#partsBefore ?? this.#members.length,
      partsLength: this.#partsLength,
      files: this.#files.map((file) =>
        'chunkIds' in file
          ? {
              path: file.path,
              size: file.size,
              volume: { chunks: file.chunkIds.chunks, parts: file.parts },
            }
          : file,
      ),
    };
  }
}

const NO_ID = Buffer.alloc(ID_LENGTH);
