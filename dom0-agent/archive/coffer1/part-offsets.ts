import { DamagedError } from '../../../shared/errors.ts';
import { type Manifest, lengthInTar } from './manifest.ts';
import type { PartsTable } from './parts-table.ts';

/** Where the parts of volumes begin in a file. */
export class PartOffsets {
  readonly table: PartsTable;
  /** The offset of each part in bytes, by row; the last entry is where the parts end. */
  readonly #offsets: Float64Array;

  /**
   * @param from where the first part begins
   * @throws DamagedError if the table does not match the manifest
   */
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
      throw new DamagedError('the table of parts of the backup does not match its manifest');
    }
  }

  offset(row: number): number {
    const offset = this.#offsets[row];
    if (offset === undefined) throw new RangeError(`there is no part in row ${row}`);
    return offset;
  }
}
