import { DamagedError, messageOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import type { ArchiveReader, ArchivedFile } from '../archive/archive.ts';
import { drain } from '../archive/drain.ts';
import { untar } from '../archive/inner-tar/reader.ts';
import { parseArchivedPath } from './archived-path.ts';
import { backedUpFiles } from './backed-up-files.ts';
import { countBytes } from './count-bytes.ts';
import { type Damage, damageTo, missingIn, ownerOf } from './damage.ts';
import type { Outcome } from './outcome.ts';
import type { Selected } from './selection.ts';

/**
 * Reads what was selected as a restore would, every authentication code, every compressed stream and
 * every inner tar to its end, and holds it against what qubes.xml promises. Creates nothing. Damage to a VM
 * is told to `report`, and the others go on, for as long as the archive can be read.
 */
export async function verifyBackup(
  selected: Selected,
  reader: ArchiveReader,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome[]> {
  return new VerifyRun(selected, report, signal).run(reader);
}

/** What was read of a VM, or of dom0's home. */
interface Reading {
  bytes: number;
  readonly damages: string[];
}

class VerifyRun {
  readonly #selected: Selected;
  readonly #report: Report;
  readonly #signal: AbortSignal;
  readonly #readings = new Map<string, Reading>();
  /** The paths of the files that came. */
  readonly #seen = new Set<string>();

  constructor(selected: Selected, report: Report, signal: AbortSignal) {
    this.#selected = selected;
    this.#report = report;
    this.#signal = signal;
    const names = selected.qubes.map(({ qube }) => qube.name);
    if (selected.dom0Home !== undefined) names.push('dom0');
    for (const name of names) this.#readings.set(name, { bytes: 0, damages: [] });
  }

  async run(reader: ArchiveReader): Promise<Outcome[]> {
    const isWanted = (path: string): boolean => ownerOf(path, this.#selected) !== undefined;
    let isWhole = true;
    try {
      for await (const file of reader.files(isWanted)) await this.#verifyFile(file);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      this.#report.warning(messageOf(error));
      isWhole = false;
    }
    if (isWhole) missingIn(this.#selected, this.#seen).forEach((damage) => this.#note(damage));
    return [...this.#readings].map(([name, reading]) => outcomeOf(name, reading, isWhole));
  }

  async #verifyFile(file: ArchivedFile): Promise<void> {
    this.#signal.throwIfAborted();
    const { path } = file;
    this.#seen.add(path);
    const reading = this.#readings.get(ownerOf(path, this.#selected) ?? '');
    if (reading === undefined) return;
    try {
      reading.bytes += await this.#sizeOf(file);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      const damage = damageTo(path, error, this.#selected);
      if (damage !== undefined) this.#note(damage);
    }
  }

  /** Reads a file through; gives the sum of the sizes of what is in it. */
  async #sizeOf({ path, innerTar }: ArchivedFile): Promise<number> {
    const counted = countBytes(innerTar, (length) => this.#report.progress(length));
    if (path === this.#selected.dom0Home?.directory) return readThrough(counted);
    if (parseArchivedPath(path).kind !== 'other') {
      return readFiles({ path, innerTar: counted }, this.#seen);
    }
    await readThrough(counted);
    return 0;
  }

  #note({ name, what }: Damage): void {
    this.#readings.get(name)?.damages.push(what);
    this.#report.warning(`${name}: ${what}`);
  }
}

/** @param isWhole whether the archive was read to an end that vouches for all of it */
function outcomeOf(name: string, { bytes, damages }: Reading, isWhole: boolean): Outcome {
  if (damages.length > 0) return { name, result: 'damaged', bytes, remarks: damages };
  if (isWhole) return { name, result: 'verified', bytes, remarks: [] };
  return { name, result: 'not verified', bytes, remarks: ['the backup as a whole is damaged'] };
}

/** Reads a VM's files, and notes that they were there; gives the sum of their sizes. */
async function readFiles(file: ArchivedFile, seen: Set<string>): Promise<number> {
  let bytes = 0;
  for await (const backedUp of backedUpFiles(file)) {
    seen.add(backedUp.path);
    bytes += backedUp.size;
    await drain(backedUp.pieces());
  }
  return bytes;
}

/** Reads any inner tar to its end; gives the sum of the sizes of the files in it. */
async function readThrough(innerTar: AsyncIterable<Buffer>): Promise<number> {
  let bytes = 0;
  for await (const member of untar(innerTar)) {
    bytes += member.realSize;
    await drain(member.pieces());
  }
  return bytes;
}
