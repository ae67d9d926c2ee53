import type { SeriesHead } from '../archive/coffer1/series.ts';
import {
  COFFER1_FILTERS,
  type Coffer1Filter,
  FILE_KINDS,
  type FileKind,
} from '../archive/coffer1/coffer1-header.ts';
import { objectOf, parseJson } from './json-fields.ts';
import { type BackupCheck, isCheck } from './backup-record.ts';
import type { NamedFile } from '../archive/coffer1/manifest.ts';

/** A file of a series in its directory. */
export interface SeriesFile extends NamedFile {
  readonly fileName: string;
  readonly kind: FileKind;
  readonly sequence: number;
  /** When it was begun, in seconds since 1970. */
  readonly made: number;
  /** The size of the whole file. */
  readonly bytes: number;
  /** Bytes in a chunk. */
  readonly grain: number;
  /** The ids of the other files that it needs for a restore. */
  readonly needs: readonly string[];
  /** The result of its last check. Nothing refers to a file that is damaged. */
  readonly check?: BackupCheck | undefined;
  /** Undefined if the file is not a backup, or was not made by this dom0. */
  readonly effort?: Effort | undefined;
}

/** How much work a backup was, storing and checking included. */
export interface Effort {
  /** An integer, at least 1. */
  readonly seconds: number;
  /** Bytes of data that were read. */
  readonly read: number;
  /** Bytes of volumes that no earlier file of the series had. */
  readonly new: number;
}

/** Within which volumes equal chunks are stored once: see `volume-identity.ts`. */
export const DEDUP_CHOICES = ['domain', 'all'] as const;
export type Dedup = (typeof DEDUP_CHOICES)[number];

/**
 * What dom0 knows about a series. It holds no secret: the key is wrapped under the passphrase, as in each file. Losing
 * it costs time, not data: everything is in the files as well.
 */
export interface SeriesState {
  readonly head: SeriesHead;
  /** Where its files are: `sys-usb:/home/user/backups`. */
  readonly place: string;
  readonly dedup: Dedup;
  readonly encrypted: boolean;
  readonly compressionFilter: Coffer1Filter | undefined;
  /** The newest file, though it may have been deleted since, and its number. */
  readonly last: NamedFile & { readonly sequence: number };
  /** Ascending by number. */
  readonly files: readonly SeriesFile[];
  /** The id of the backup with the last map of each volume, by the volume's origin. */
  readonly maps: ReadonlyMap<string, string>;
}

const VERSION = 1;

/** One line of JSON, with bytes in hex. */
export function formatState(state: SeriesState): string {
  const { head, place, dedup, encrypted, compressionFilter, last, files, maps } = state;
  const text = {
    ...{ version: VERSION, seriesId: head.seriesId, kdf: head.kdf },
    kdfSalt: head.kdfSalt.toString('hex'),
    seriesKey: head.wrappedKey.toString('hex'),
    seriesKeyMac: head.wrappedKeyMac.toString('hex'),
    ...{ place, dedup, encrypted, compressionFilter: compressionFilter ?? 'none', last, files },
    maps: Object.fromEntries(maps),
  };
  return `${JSON.stringify(text)}\n`;
}

/** Undefined if the text is not a state, or is one that another version wrote. */
export function parseState(text: string): SeriesState | undefined {
  const fields = objectOf(parseJson(text));
  const [kdf, last] = [objectOf(fields['kdf']), objectOf(fields['last'])];
  const { place, encrypted, compressionFilter: filter } = fields;
  const head = {
    seriesId: idOf(fields['seriesId']),
    kdf: { n: numberOf(kdf['n']), r: numberOf(kdf['r']), p: numberOf(kdf['p']) },
    kdfSalt: bytesOf(fields['kdfSalt'], 32),
    wrappedKey: bytesOf(fields['seriesKey'], 64),
    wrappedKeyMac: bytesOf(fields['seriesKeyMac'], 64),
  };
  const dedup = DEDUP_CHOICES.find((each) => each === fields['dedup']);
  const newest = { ...namedOf(last), sequence: numberOf(last['sequence']) };
  const files: (SeriesFile | undefined)[] = Array.isArray(fields['files'])
    ? fields['files'].map(fileOf)
    : [undefined];
  const maps = Object.entries(objectOf(fields['maps'])).map(
    ([origin, backup]) => [origin, idOf(backup)] as const,
  );
  const isSound =
    fields['version'] === VERSION &&
    typeof place === 'string' &&
    typeof encrypted === 'boolean' &&
    (filter === 'none' || COFFER1_FILTERS.some((each) => each === filter)) &&
    [head.seriesId, newest.backupId, newest.mac, ...maps.map(([, id]) => id)].every(Boolean) &&
    [head.kdf.n, head.kdf.r, head.kdf.p, newest.sequence].every((number) => number > 0) &&
    head.kdfSalt.length + head.wrappedKey.length + head.wrappedKeyMac.length === 32 + 64 + 64 &&
    !files.includes(undefined);
  if (!isSound || dedup === undefined) return undefined;
  const compressionFilter = COFFER1_FILTERS.find((each) => each === filter);
  const found = files.filter((file) => file !== undefined);
  return {
    ...{ head, place, dedup, encrypted, compressionFilter, last: newest },
    ...{ files: found, maps: new Map(maps) },
  };
}

function fileOf(value: unknown): SeriesFile | undefined {
  const fields = objectOf(value);
  const { fileName, needs, check } = fields;
  const kind = FILE_KINDS.find((each) => each === fields['kind']);
  const { backupId, mac } = namedOf(fields);
  const sequence = numberOf(fields['sequence']);
  const [made, bytes] = [numberOf(fields['made']), numberOf(fields['bytes'])];
  const grain = numberOf(fields['grain']);
  const needed = Array.isArray(needs) ? needs.map(idOf) : [''];
  const isSound =
    [backupId, mac, ...needed].every(Boolean) && sequence > 0 && bytes > 0 && grain > 0;
  if (!isSound || kind === undefined || typeof fileName !== 'string') return undefined;
  const file = { fileName, backupId, mac, kind, sequence, made, bytes, grain, needs: needed };
  const effort = effortOf(objectOf(fields['effort']));
  return {
    ...file,
    ...(isCheck(check) ? { check } : {}),
    ...(effort === undefined ? {} : { effort }),
  };
}

function effortOf(fields: Record<string, unknown>): Effort | undefined {
  const seconds = numberOf(fields['seconds']);
  if (seconds === 0) return undefined;
  return { seconds, read: numberOf(fields['read']), new: numberOf(fields['new']) };
}

function namedOf(fields: Record<string, unknown>): NamedFile {
  return { backupId: idOf(fields['backupId']), mac: hexOf(fields['mac'], 64) };
}

/** Empty if the value is not an id: 32 hex digits. */
function idOf(value: unknown): string {
  return hexOf(value, 16);
}

function hexOf(value: unknown, bytes: number): string {
  const text = typeof value === 'string' ? value : '';
  return new RegExp(`^[0-9a-f]{${2 * bytes}}$`).test(text) ? text : '';
}

function bytesOf(value: unknown, length: number): Buffer {
  return Buffer.from(hexOf(value, length), 'hex');
}

/** 0 if the value is not a positive integer. */
function numberOf(value: unknown): number {
  return Number.isSafeInteger(value) && Number(value) > 0 ? Number(value) : 0;
}
