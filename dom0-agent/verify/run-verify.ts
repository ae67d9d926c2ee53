import { DamagedError, messageOf } from '../../shared/errors.ts';
import type { Report } from '../../shared/report.ts';
import type { ArchiveReader, ArchivedFile } from '../archive/archive.ts';
import { drain } from '../archive/drain.ts';
import { untar } from '../archive/tar/inner-reader.ts';
import { type UnusableQube, dom0Trees } from '../qubes/backup-contents.ts';
import { parseArchivedPath } from '../contents/archived-files.ts';
import { backedUpFiles, treeOf, whyIncomplete } from '../contents/backed-up-files.ts';
import { FilesSeen } from '../contents/archived-files.ts';
import { countFile } from '../contents/backed-up-files.ts';
import { type Damage, damageTo, missingIn, ownerOf } from '../contents/damage.ts';
import type { Outcome } from '../contents/outcome.ts';
import type { SelectedContents } from '../contents/read-contents.ts';

/**
 * Reads what was selected as a restore would: every MAC is verified, every compressed stream and every inner tar
 * is read to its end, and the files are compared with qubes.xml. Creates nothing. Damage to a VM is reported, and
 * the others go on as long as the archive can be read.
 */
export async function verifyBackup(
  selected: SelectedContents,
  reader: ArchiveReader,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome[]> {
  return new VerifyRun(selected, report, signal).run(reader);
}

/** What was read of a VM, or of dom0's home. */
interface Reading {
  size: number;
  used: number;
  readonly damages: string[];
  /** Why it is incomplete, according to the backup. */
  incomplete?: string;
  /** What differs from the backup. */
  readonly remarks: readonly string[];
}

class VerifyRun {
  readonly #selected: SelectedContents;
  readonly #report: Report;
  readonly #signal: AbortSignal;
  readonly #readings = new Map<string, Reading>();
  readonly #seen: FilesSeen;

  constructor(selected: SelectedContents, report: Report, signal: AbortSignal) {
    this.#selected = selected;
    this.#seen = new FilesSeen(selected);
    this.#report = report;
    this.#signal = signal;
    for (const { qube, remarks } of selected.qubes) {
      this.#readings.set(qube.name, { size: 0, used: 0, damages: [], remarks });
    }
    if (dom0Trees(selected).length > 0) {
      this.#readings.set('dom0', { size: 0, used: 0, damages: [], remarks: [] });
    }
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
    if (isWhole) this.#noteMissing();
    const outcomes = [...this.#readings].map(([name, reading]) =>
      outcomeOf(name, reading, isWhole),
    );
    for (const { name, result, remarks } of outcomes) {
      this.#report.finished(name, result === 'verified' ? undefined : remarks.join('; '));
    }
    return [...outcomes, ...this.#selected.unusable.map(leftOut)];
  }

  async #verifyFile(file: ArchivedFile): Promise<void> {
    this.#signal.throwIfAborted();
    const { path } = file;
    this.#seen.note(path);
    const reading = this.#readings.get(ownerOf(path, this.#selected) ?? '');
    if (reading === undefined) return;
    try {
      await this.#readFile(file, reading);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      const damage = damageTo(path, error, this.#selected);
      if (damage !== undefined) this.#note(damage);
    }
  }

  async #readFile(file: ArchivedFile, reading: Reading): Promise<void> {
    const { path } = file;
    const place = parseArchivedPath(path);
    const owner = ownerOf(path, this.#selected) ?? '';
    const isHome = path === this.#selected.dom0Home?.directory;
    if (owner === 'dom0') this.#report.working(owner, isHome ? 'home' : 'configuration');
    else if (place.kind === 'volume') this.#report.working(owner, place.volume);
    const counted = countFile(file, (length) => this.#report.progress(owner, length));
    if (owner === 'dom0') {
      reading.used += await readThrough(treeOf(counted));
    } else if (place.kind === 'other') {
      if ('innerTar' in counted) await readThrough(counted.innerTar);
      else await drain(counted.pieces());
    } else {
      await readFiles(counted, this.#seen, reading);
    }
  }

  #noteMissing(): void {
    const missing = missingIn(this.#selected, this.#seen);
    const unexplained = ({ name }: Damage) => this.#readings.get(name)?.incomplete === undefined;
    missing.filter(unexplained).forEach((damage) => this.#note(damage));
  }

  #note({ name, what }: Damage): void {
    this.#readings.get(name)?.damages.push(what);
    this.#report.warning(`${name}: ${what}`);
  }
}

/** @param isWhole whether the archive was read to its end and confirmed to be complete */
function outcomeOf(name: string, reading: Reading, isWhole: boolean): Outcome {
  const { used, damages, incomplete } = reading;
  const size = name === 'dom0' ? undefined : reading.size;
  if (damages.length > 0) return { name, result: 'damaged', size, used, remarks: damages };
  if (incomplete !== undefined) {
    return { name, result: 'incomplete', size, used, remarks: [incomplete] };
  }
  if (isWhole) return { name, result: 'verified', size, used, remarks: reading.remarks };
  const remarks = ['the backup as a whole is damaged'];
  return { name, result: 'not verified', size, used, remarks };
}

function leftOut({ name, why }: UnusableQube): Outcome {
  return { name, result: 'left out', size: undefined, used: 0, remarks: [why] };
}

/** Reads a VM's files, and notes that they were there. Only volumes count as data, not settings. */
async function readFiles(file: ArchivedFile, seen: FilesSeen, reading: Reading): Promise<void> {
  for await (const backedUp of backedUpFiles(file)) {
    seen.note(backedUp.path);
    const { kind } = backedUp.place;
    if (kind === 'incomplete') {
      reading.incomplete = await whyIncomplete(backedUp);
      continue;
    }
    const isVolume = kind === 'volume';
    if (isVolume) reading.size += backedUp.size;
    for await (const { bytes } of backedUp.pieces()) if (isVolume) reading.used += bytes.length;
  }
}

/** Reads any inner tar to its end; returns the total size of the files in it. */
async function readThrough(innerTar: AsyncIterable<Buffer>): Promise<number> {
  let bytes = 0;
  for await (const member of untar(innerTar)) {
    bytes += member.realSize;
    await drain(member.pieces());
  }
  return bytes;
}
