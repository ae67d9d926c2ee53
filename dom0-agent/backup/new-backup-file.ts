import { underNewName } from '../transport/new-name.ts';
import type { Sink, Storage } from '../transport/storage.ts';

/** A new file of a series, not yet complete. */
export interface BegunFile {
  readonly sink: Sink;
  readonly fileName: string;
}

/**
 * Opens a new file, named after the time `created` as Qubes names backups: `qubes-backup-2026-11-23T194201`, in local
 * time, or `qubes-data-…`; the next one of the same second is `…T194201-2`. Throws what `openSink` throws.
 *
 * @param expectedBytes the file is refused if there is less space; undefined: unknown
 */
export async function openNewFile(
  storage: Storage,
  directory: string,
  kind: 'backup' | 'data',
  created: Date,
  expectedBytes: number | undefined,
  signal: AbortSignal,
): Promise<BegunFile> {
  const { opened: sink, fileName } = await underNewName(kind, created, (name) =>
    storage.openSink({ directory, fileName: name }, expectedBytes, signal),
  );
  return { sink, fileName };
}

const TIME = String.raw`(\d{4})-(\d\d)-(\d\d)T(\d\d)(\d\d)(\d\d)`;
const BACKUP_NAME = new RegExp(`^qubes-backup-${TIME}(?:-\\d)?$`);
const DATA_NAME = new RegExp(`^qubes-data-${TIME}(?:-\\d\\d?)?$`);

/** When a backup was begun, according to its name, which anybody can change; undefined for any other name. */
export function timeOfBackupName(name: string): Date | undefined {
  return timeIn(BACKUP_NAME.exec(name));
}

/** The same for a file of the kind data. */
export function timeOfDataName(name: string): Date | undefined {
  return timeIn(DATA_NAME.exec(name));
}

function timeIn(match: RegExpExecArray | null): Date | undefined {
  const [year = 0, month = 0, ...rest] = (match ?? []).slice(1).map(Number);
  const [day = 0, hours = 0, minutes = 0, seconds = 0] = rest;
  const time = new Date(year, month - 1, day, hours, minutes, seconds);
  return month > 0 && time.getMonth() === month - 1 && time.getDate() === day ? time : undefined;
}
