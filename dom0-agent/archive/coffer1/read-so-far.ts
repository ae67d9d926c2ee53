import { isDeepStrictEqual } from 'node:util';
import { DamagedError } from '../../../shared/errors.ts';
import { type Manifest, type ManifestMember, lengthInTar } from './manifest.ts';
import { MOST_DAMAGED, tooMuchDamaged } from './open-parts.ts';
import { Uint32List } from './uint32-list.ts';
import type { PartsTable } from './parts-table.ts';
import type { VolumeCheck } from './volume-check.ts';
import type { VolumeMap } from './volume-map.ts';

/** Instead of the number of chunks, for a damaged part. */
const UNKNOWN = 2 ** 32 - 1;

/** What has been read of a stream, to be compared with the maps, the table and the manifest at its end. */
export class ReadSoFar {
  readonly #members: ManifestMember[];
  readonly #paths: string[] = [];
  readonly #volumes = new Map<string, VolumeCheck>();
  readonly #sizes = new Uint32List();
  readonly #chunks = new Uint32List();
  #partsBefore: number | undefined;
  #partsLength = 0;
  #damaged = 0;
  #lastDamage: DamagedError | undefined;

  constructor(headerMember: ManifestMember) {
    this.#members = [headerMember];
  }

  /** Notes a member that is not a part of a volume. */
  noteMember({ name, size, mac }: ManifestMember): void {
    this.#members.push({ name, size, mac });
  }

  noteFile(path: string): void {
    this.#paths.push(path);
  }

  /** Notes the next part of a volume, before it is opened. */
  notePart(size: number): void {
    this.#partsBefore ??= this.#members.length;
    this.#partsLength += lengthInTar(size);
    this.#sizes.push(size);
  }

  /** Notes how many chunks the next part has, which was opened. */
  noteChunks(chunks: number): void {
    this.#chunks.push(chunks);
  }

  /** Notes that the next part is damaged. Throws DamagedError when there was too much damage. */
  noteDamaged(damage: DamagedError): void {
    this.#chunks.push(UNKNOWN);
    this.countDamage(damage);
  }

  /** Counts a damaged member. Throws DamagedError when there was too much damage. */
  countDamage(damage: DamagedError): void {
    this.#lastDamage = damage;
    if (++this.#damaged > MOST_DAMAGED) throw tooMuchDamaged(damage);
  }

  /** Notes a volume, whose first part has come. Throws DamagedError when it has come before. */
  beginVolume(check: VolumeCheck): void {
    if (this.#volumes.has(check.path)) {
      throw new DamagedError(`the backup contains ${check.path} twice`);
    }
    this.#volumes.set(check.path, check);
  }

  /**
   * Throws DamagedError if a volume that was read does not match its map. Returns the reason if none of its parts could
   * be read.
   */
  checkMap(map: VolumeMap, backupId: string): DamagedError | undefined {
    const { path } = map;
    if (map.backups.some((id) => id !== backupId)) {
      throw new DamagedError(`${path} in the backup refers to other files than this one`);
    }
    const check = this.#volumes.get(path);
    if (check === undefined) {
      return this.#lastDamage ?? new DamagedError(`the backup contains no part of ${path}`);
    }
    if (check.ended) check.compare(map);
    return undefined;
  }

  checkTable(table: PartsTable): void {
    for (let part = 0; part < Math.max(table.length, this.#sizes.length); part++) {
      if (part < Math.min(table.length, this.#chunks.length)) {
        const { size, chunks } = table.at(part);
        const seen = this.#chunks.at(part);
        if (size === this.#sizes.at(part) && (seen === chunks || seen === UNKNOWN)) continue;
      }
      throw new DamagedError(`part ${part} of the volumes does not match the backup's table`);
    }
  }

  checkIds(count: number): void {
    let chunks = 0;
    for (let part = 0; part < this.#chunks.length; part++) {
      if (this.#chunks.at(part) === UNKNOWN) return;
      chunks += this.#chunks.at(part);
    }
    if (count !== chunks) throw new DamagedError('the backup does not have one id for each chunk');
  }

  checkManifest(manifest: Manifest): void {
    const { members, files } = manifest;
    for (let place = 0; place < Math.max(members.length, this.#members.length); place++) {
      const [listed, seen] = [members[place], this.#members[place]];
      if (listed?.name === seen?.name && listed?.size === seen?.size && listed?.mac === seen?.mac) {
        continue;
      }
      throw new DamagedError(
        `the backup is incomplete or was changed: its manifest does not have ${seen?.name ?? 'its end'} ` +
          `where it stands`,
      );
    }
    const isSame =
      manifest.parts === this.#sizes.length &&
      manifest.partsLength === this.#partsLength &&
      manifest.partsBefore === (this.#partsBefore ?? manifest.partsBefore) &&
      // In any order: a volume is noted when its map comes, after other files.
      isDeepStrictEqual(files.map(({ path }) => path).sort(), this.#paths.sort());
    if (!isSame) {
      throw new DamagedError('the backup does not match its manifest');
    }
  }
}
