import { randomBytes } from 'node:crypto';
import { WrongPassphraseError } from '../../../shared/errors.ts';
import { SALT_LENGTH } from './coffer1-header.ts';
import type { EarlierFiles } from './earlier-files.ts';
import { deriveRootKey } from './keys.ts';
import type { ScryptCost } from '../scrypt-cost.ts';
import type { NamedFile } from './manifest.ts';
import {
  type SeriesKey,
  type WrappedKey,
  newSeriesKey,
  unwrapSeriesKey,
  wrapSeriesKey,
} from './series-key.ts';

/** What the header of each file of a series repeats, and opens it with the passphrase. */
export interface SeriesHead extends WrappedKey {
  /** 128 random bits in hex. */
  readonly seriesId: string;
  readonly kdf: ScryptCost;
  readonly kdfSalt: Buffer;
}

/** Of a file's header, what all files of its series have that were made under the same passphrase. */
export function headOfSeries({
  seriesId,
  kdf,
  kdfSalt,
  wrappedKey,
  wrappedKeyMac,
}: SeriesHead): SeriesHead {
  return { seriesId, kdf, kdfSalt, wrappedKey, wrappedKeyMac };
}

/** A series whose key is known: files can be added to it. */
export interface OpenedSeries {
  readonly seriesId: string;
  readonly key: SeriesKey;
  /** For a series that begins, the key derivation goes on while the first volume is read. */
  readonly head: Promise<SeriesHead>;
}

/** A file that is made next: which one of its series it becomes, and what it goes on from. */
export interface NextFile {
  readonly series: OpenedSeries;
  readonly backupId: string;
  /** From 1. */
  readonly sequence: number;
  /** The file before it; undefined for the first one. */
  readonly previous: NamedFile | undefined;
  /** What it may refer to. Undefined: it needs no other file, and can be restored from a stream. */
  readonly earlier: EarlierFiles | undefined;
}

/** The first file of a series that begins. Wipes the passphrase once the key is derived from it. */
export function firstFile(passphrase: Buffer, kdf: ScryptCost): NextFile {
  const series = beginSeries(passphrase, kdf);
  return { series, backupId: newId(), sequence: 1, previous: undefined, earlier: undefined };
}

/** An id of a file or a series: 128 random bits in hex. */
export function newId(): string {
  return randomBytes(16).toString('hex');
}

/** Begins a series under a new key. Wipes the passphrase once the key is derived from it. */
export function beginSeries(passphrase: Buffer, kdf: ScryptCost): OpenedSeries {
  const key = newSeriesKey();
  const seriesId = newId();
  const head = wrap({ seriesId, key }, passphrase, kdf);
  // Who awaits it is told of an error; until then it is not unhandled.
  void Promise.allSettled([head]);
  return { seriesId, key, head };
}

/**
 * The same series under another passphrase, which is wiped. The salt is another one, and so is the root: under one root there
 * is never more than one wrapping.
 */
export function rewrapSeries(
  series: OpenedSeries,
  passphrase: Buffer,
  kdf: ScryptCost,
): Promise<SeriesHead> {
  return wrap(series, passphrase, kdf);
}

async function wrap(
  { seriesId, key }: Pick<OpenedSeries, 'seriesId' | 'key'>,
  passphrase: Buffer,
  kdf: ScryptCost,
): Promise<SeriesHead> {
  const kdfSalt = randomBytes(SALT_LENGTH);
  const root = await deriveRootKey(passphrase, kdfSalt, kdf);
  return { seriesId, kdf, kdfSalt, ...wrapSeriesKey(root, seriesId, key) };
}

/** Opens a series with its passphrase, which is wiped. Throws WrongPassphraseError. */
export async function openSeries(head: SeriesHead, passphrase: Buffer): Promise<OpenedSeries> {
  const root = await deriveRootKey(passphrase, head.kdfSalt, head.kdf);
  const key = unwrapSeriesKey(root, head.seriesId, head);
  if (key === undefined) {
    throw new WrongPassphraseError(
      "the passphrase is wrong, or the backup's header was damaged or tampered with",
    );
  }
  return { seriesId: head.seriesId, key, head: Promise.resolve(head) };
}
