import { createHash } from 'node:crypto';
import type { OpenedFile } from '../../shared/byte-streams.ts';
import { StorageError } from '../../shared/errors.ts';
import { HARMLESS_NAME } from '../../shared/harmless-name.ts';
import { printable } from '../../shared/printable.ts';
import { identifyArchive } from '../archive/identify-archive.ts';
import { headOf } from '../archive/read-header.ts';
import { fileIn } from '../transport/location.ts';
import { isNameOfOurs } from '../transport/single-file.ts';
import type { Listing, Storage, StoredFiles } from '../transport/storage.ts';
import { timeOfBackupName } from './new-backup-file.ts';

/** The directory that files are copied to. */
export interface CopyTarget {
  readonly storage: Storage;
  readonly directory: string;
}

/** A file of a backup that can be copied. */
export interface CopiedFile {
  readonly fileName: string;
  /** In bytes. */
  readonly size: number;
}

/** What a copy will do. Files are in the order in which they are sent: those that others need come first. */
export interface CopyPlan {
  readonly toSend: readonly CopiedFile[];
  /** Files that are there already, with the same name and size. */
  readonly there: readonly CopiedFile[];
  /** Backups that are there with the same name and another size: they are not overwritten. */
  readonly differing: readonly CopiedFile[];
  /** Printable names of files that are not backups, are not finished, or have a name that may be harmful. */
  readonly others: readonly string[];
}

/**
 * Compares two directories. Reads the beginnings of files that are not there yet, and changes nothing.
 *
 * @param listed what is in `from`
 * @param there what is in the directory to copy to
 */
export async function planCopy(
  from: StoredFiles,
  listed: Listing,
  there: Listing,
  signal: AbortSignal,
): Promise<CopyPlan> {
  const sizes = new Map(
    there.entries.map(({ untrustedName, kind, size }) => [
      untrustedName,
      kind === 'FILE' ? size : -1,
    ]),
  );
  const files = listed.entries.filter(({ kind }) => kind === 'FILE').toSorted(oldestFirst);
  const plan = {
    toSend: [] as CopiedFile[],
    there: [] as CopiedFile[],
    differing: [] as CopiedFile[],
    others: [] as string[],
  };
  for (const { untrustedName, size } of files) {
    signal.throwIfAborted();
    const file = { fileName: untrustedName, size };
    const known = sizes.get(untrustedName);
    if (untrustedName.endsWith('.partial') || !HARMLESS_NAME.test(untrustedName)) {
      plan.others.push(printable(untrustedName));
    } else if (known === size) plan.there.push(file);
    // One that has lost its beginning is no longer a backup here, but there it may be.
    else if (known !== undefined && isNameOfOurs(untrustedName)) plan.differing.push(file);
    else if (!(await isBackup(from, untrustedName))) plan.others.push(printable(untrustedName));
    else if (known === undefined) plan.toSend.push(file);
    else plan.differing.push(file);
  }
  return plan;
}

/**
 * Sends a file byte by byte, without parsing it: no passphrase is needed. Returns the SHA-256 of what was sent, in hex,
 * as confirmed by the storage. If it fails, nothing of the file remains there. Throws StorageError.
 *
 * @param sent called with the length of every piece that was sent
 */
export async function sendFile(
  from: StoredFiles,
  to: CopyTarget,
  { fileName, size }: CopiedFile,
  sent: (bytes: number) => void,
  signal: AbortSignal,
): Promise<string> {
  const source = await open(from, { fileName, size });
  const target = { directory: to.directory, fileName };
  await using sink = await to.storage.openSink(target, size, signal);
  for await (const bytes of source.read()) {
    const { length } = bytes;
    await sink.write(bytes);
    sent(length);
  }
  const stored = await sink.finish();
  return stored.sha256;
}

/**
 * Reads a file back and returns its SHA-256, in hex. Throws StorageError if it has another size.
 *
 * @param read called with the length of every piece that was read
 */
export async function digestOf(
  files: StoredFiles,
  file: CopiedFile,
  read: (bytes: number) => void,
): Promise<string> {
  const source = await open(files, file);
  const hash = createHash('sha256');
  for await (const bytes of source.read()) {
    hash.update(bytes);
    read(bytes.length);
  }
  return hash.digest('hex');
}

async function open(files: StoredFiles, { fileName, size }: CopiedFile): Promise<OpenedFile> {
  const file = await files.open(fileName);
  if (file.size === size) return file;
  throw new StorageError(
    `${fileIn(files.location, printable(fileName))} has another size than a moment ago: is it being written?`,
  );
}

async function isBackup(directory: StoredFiles, untrustedName: string): Promise<boolean> {
  return (await identifyArchive(headOf(await directory.open(untrustedName)))) !== undefined;
}

/** By the times in their names. Files without one (packs, data) come first, since backups may need them. */
function oldestFirst(
  { untrustedName: one }: { readonly untrustedName: string },
  { untrustedName: other }: { readonly untrustedName: string },
): number {
  const [a, b] = [timeOf(one), timeOf(other)];
  return a === b ? (one < other ? -1 : 1) : a - b;
}

function timeOf(untrustedName: string): number {
  return timeOfBackupName(untrustedName)?.getTime() ?? 0;
}
