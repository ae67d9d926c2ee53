import { DamagedError, messageOf } from '../../../shared/errors.ts';
import type { PartOffsets } from './part-offsets.ts';
import type { Run } from './runs.ts';
import { SeriesFile } from './series-file.ts';
import type { SeriesFiles } from './series-files.ts';
import type { VolumeMap } from './volume-map.ts';

/** A file of the series in which parts of a volume may be. Its parts have the numbers from `base` on, by row. */
interface Holder {
  readonly file: SeriesFile;
  readonly parts: PartOffsets;
  readonly base: number;
}

/** A part: the file that it is in now, and its row in the table there. */
export interface LocatedPart {
  readonly file: SeriesFile;
  readonly parts: PartOffsets;
  readonly row: number;
}

/** Finds the parts that a map names in the files of the series, and gives each a number. */
export class LocatedParts {
  readonly #path: string;
  readonly #backups: readonly string[];
  readonly #holders: Holder[] = [];
  /** For each entry of the map's `backups`, the files in which its parts may be now. */
  readonly #byBackup: Holder[][] = [];
  #count = 0;

  private constructor({ path, backups }: VolumeMap) {
    this.#path = path;
    this.#backups = backups;
  }

  /** Finds the files. Throws DamagedError if one is missing or damaged, and its parts are nowhere else. */
  static async of(map: VolumeMap, files: SeriesFiles): Promise<LocatedParts> {
    const located = new LocatedParts(map);
    await files.openAhead(map.backups);
    for (const backupId of map.backups) await located.#add(backupId, files);
    return located;
  }

  /** All numbers of parts are below this. */
  get count(): number {
    return this.#count;
  }

  /** The number of the part that a run is in. Throws DamagedError if there is no such part. */
  partOf({ backup, part, offset, count }: Run): number {
    const bornIn = this.#backups[backup];
    for (const { file, parts, base } of this.#byBackup[backup] ?? []) {
      const row = parts.table.rowOf(bornIn === file.backupId ? undefined : bornIn, part);
      if (row === undefined) continue;
      // If the part was trimmed here, another pack may have more of it.
      if (parts.table.holds(row, offset, count)) return base + row;
    }
    throw new DamagedError(
      `the map of ${this.#path} names a part that the backup does not contain`,
    );
  }

  at(number: number): LocatedPart {
    const holder = this.#holders.findLast(({ base }) => base <= number);
    if (holder === undefined) throw new RangeError(`there is no part ${number}`);
    return { file: holder.file, parts: holder.parts, row: number - holder.base };
  }

  async #add(backupId: string, files: SeriesFiles): Promise<void> {
    const file = await files.file(backupId);
    const holders = file instanceof SeriesFile ? [await this.#holder(file)] : [];
    // Only if the file is gone or damaged, its parts are looked for in packs.
    if (holders.length === 0) {
      for (const pack of await files.packs()) {
        const holds = pack.manifest.holds.some((each) => each.backupId === backupId);
        if (holds) holders.push(await this.#holder(pack));
      }
    }
    if (holders.length === 0) throw this.#missing(backupId, file);
    this.#byBackup.push(holders);
  }

  async #holder(file: SeriesFile): Promise<Holder> {
    const known = this.#holders.find((holder) => holder.file === file);
    if (known !== undefined) return known;
    const parts = await file.parts();
    const holder = { file, parts, base: this.#count };
    this.#holders.push(holder);
    this.#count += parts.table.length;
    return holder;
  }

  #missing(backupId: string, damage: DamagedError | SeriesFile | undefined): DamagedError {
    const why =
      damage instanceof DamagedError
        ? `which is damaged: ${messageOf(damage)}`
        : 'which is not in its directory';
    return new DamagedError(
      `${this.#path} is partly in another file of its series, ${backupId}, ${why}`,
    );
  }
}
