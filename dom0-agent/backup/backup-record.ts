import { isObject, parseJson } from './json-fields.ts';
/** The last backup of a VM, or of dom0's home. */
export interface LastBackup {
  /** When it was begun, in seconds since 1970. */
  readonly created: number;
  /** Where it was stored, for people: `sys-usb:/home/user/backups/qubes-backup-…`. */
  readonly location: string;
  /** The result of the last verify or restore of this VM from it. */
  readonly check?: BackupCheck;
}

export interface BackupCheck {
  /** In seconds since 1970. */
  readonly at: number;
  readonly result: 'verified' | 'damaged';
}

/**
 * The last backups made on a system, by the names of VMs; `dom0` stands for its home. It holds no secret. The file is
 * one line of JSON, `{"version":1,"last":{"work":{…}}}`, with times in seconds since 1970.
 */
export type BackupRecord = ReadonlyMap<string, LastBackup>;

/** No system has this many VMs: what is recorded beyond that was removed long ago. */
const MOST_QUBES = 2000;
const VERSION = 1;

/** The text of a record, cut to the MOST_QUBES newest backups. */
export function formatRecord(record: BackupRecord): string {
  const newest = [...record].sort(([, one], [, other]) => other.created - one.created);
  const last = Object.fromEntries(newest.slice(0, MOST_QUBES));
  return `${JSON.stringify({ version: VERSION, last })}\n`;
}

/** Undefined if the text is not a record, or is one that another version wrote. */
export function parseRecord(text: string): BackupRecord | undefined {
  const parsed = parseJson(text);
  if (!isObject(parsed) || parsed['version'] !== VERSION) return undefined;
  const { last } = parsed;
  if (!isObject(last)) return undefined;
  const entries = Object.entries(last);
  return entries.every(isEntry) ? new Map(entries) : undefined;
}

/** Both records, with the newer backup of each VM; of the same backup, the entry with the later check. */
export function mergeRecords(one: BackupRecord, other: BackupRecord): BackupRecord {
  const merged = new Map(one);
  for (const [name, backup] of other) {
    const present = merged.get(name);
    if (present === undefined || isLater(backup, present)) merged.set(name, backup);
  }
  return merged;
}

function isLater(one: LastBackup, other: LastBackup): boolean {
  if (one.created !== other.created) return one.created > other.created;
  return (one.check?.at ?? 0) > (other.check?.at ?? 0);
}

function isEntry(entry: [string, unknown]): entry is [string, LastBackup] {
  const [, value] = entry;
  if (!isObject(value)) return false;
  const { created, location, check } = value;
  return isTime(created) && typeof location === 'string' && (check === undefined || isCheck(check));
}

export function isCheck(value: unknown): value is BackupCheck {
  return (
    isObject(value) &&
    isTime(value['at']) &&
    (value['result'] === 'verified' || value['result'] === 'damaged')
  );
}

/** Seconds since 1970, up to the year 5138. */
function isTime(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) < 1e11;
}
