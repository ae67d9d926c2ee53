import { DamagedError } from '../../../shared/errors.ts';
import { type Manifest, lengthInTar } from './manifest.ts';
import type { PartsTable } from './parts-table.ts';
import type { Visit } from './visits.ts';

/** Where the parts of volumes lie in a file. */
export class PartOffsets {
  readonly table: PartsTable;
  /** Of each part, and behind the last one where they end. */
  readonly #offsets: Float64Array;

  /** @param from where the first part lies. Throws DamagedError when the table does not fit the manifest. */
  constructor(table: PartsTable, from: number, { parts, partsLength }: Manifest) {
    this.table = table;
    this.#offsets = new Float64Array(table.length + 1);
    let offset = from;
    for (let part = 0; part < table.length; part++) {
      this.#offsets[part] = offset;
      offset += lengthInTar(table.at(part).size);
    }
    this.#offsets[table.length] = offset;
    if (table.length !== parts || offset - from !== partsLength) {
      throw new DamagedError('the table of parts of the backup is not what its manifest tells of');
    }
  }

  offset(part: number): number {
    const offset = this.#offsets[part];
    if (offset === undefined) throw new RangeError(`there is no part ${part}`);
    return offset;
  }

  /** Throws DamagedError when a map names chunks that no part has. */
  require(visits: readonly Visit[], path: string): void {
    for (const { part, runs } of visits) {
      const chunks = part < this.table.length ? this.table.at(part).chunks : 0;
      if (runs.every(({ offset, count }) => offset + count <= chunks)) continue;
      throw new DamagedError(`the map of ${path} names a part that the backup does not hold`);
    }
  }

  /** The same for parts that the manifest counts. */
  requireRange({ to }: { readonly to: number }, path: string): void {
    if (to <= this.table.length) return;
    throw new DamagedError(`the manifest counts parts of ${path} that the backup does not hold`);
  }
}
