import type { Report } from '../../shared/report.ts';
import type { ArchiveReader, ArchivedFile } from '../archive/archive.ts';
import { drain } from '../archive/drain.ts';
import { untar } from '../archive/inner-tar/reader.ts';
import { parseArchivedPath } from './archived-path.ts';
import { backedUpFiles } from './backed-up-files.ts';
import { refuseMissing } from './complete.ts';
import { countBytes } from './count-bytes.ts';
import type { Outcome } from './outcome.ts';
import type { Selected } from './selection.ts';

/**
 * Reads what was selected as a restore would, every authentication code, every compressed stream and
 * every inner tar to its end, and holds it against what qubes.xml promises. Creates nothing. Throws
 * DamagedError at the first thing that is wrong or missing.
 */
export async function verifyBackup(
  selected: Selected,
  reader: ArchiveReader,
  report: Report,
  signal: AbortSignal,
): Promise<Outcome[]> {
  const home = selected.dom0Home?.directory;
  const seen = new Set<string>();
  const bytesIn = new Map(selected.qubes.map(({ directory }) => [directory, 0]));
  let homeBytes = 0;
  const isWanted = (path: string): boolean =>
    path === home || bytesIn.has(parseArchivedPath(path).directory);
  for await (const { path, innerTar } of reader.files(isWanted)) {
    signal.throwIfAborted();
    seen.add(path);
    const counted = countBytes(innerTar, (length) => report.progress(length));
    const { kind, directory } = parseArchivedPath(path);
    if (path === home) {
      homeBytes = await readThrough(counted);
    } else if (kind === 'other') {
      await readThrough(counted);
    } else {
      const bytes = await readFiles({ path, innerTar: counted }, seen);
      bytesIn.set(directory, (bytesIn.get(directory) ?? 0) + bytes);
    }
  }
  refuseMissing(selected, seen);
  const outcomes = selected.qubes.map(({ qube, directory }) =>
    verified(qube.name, bytesIn.get(directory) ?? 0),
  );
  return home === undefined ? outcomes : [...outcomes, verified('dom0', homeBytes)];
}

function verified(name: string, bytes: number): Outcome {
  return { name, result: 'verified', bytes, remarks: [] };
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
