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

/** The fields of a header with which a passphrase opens the series. */
export interface SeriesHead extends WrappedKey {
  /** 128 random bits in hex. */
  readonly seriesId: string;
  readonly kdf: ScryptCost;
  readonly kdfSalt: Buffer;
}

/** Selects those fields of a header. They are the same in all files of a series with the same passphrase. */
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
  /** For a new series, the key is still being derived while the first volume is read. */
  readonly head: Promise<SeriesHead>;
}

/** The next file of a series: its place in the series, and what it continues from. */
export interface NextFile {
  readonly series: OpenedSeries;
  readonly backupId: string;
  /** Its number among the files of the series, from 1. */
  readonly sequence: number;
  /** The file before it; undefined for the first one. */
  readonly previous: NamedFile | undefined;
  /**
   * The files that it may refer to. Undefined: it must need no other file, so that it can be restored from a stream.
   */
  readonly earlier: EarlierFiles | undefined;
}

/** The first file of a new series. Wipes the passphrase once the key is derived from it. */
export function firstFile(passphrase: Buffer, kdf: ScryptCost): NextFile {
  const series = beginSeries(passphrase, kdf);
  return { series, backupId: newId(), sequence: 1, previous: undefined, earlier: undefined };
}

/** An id of a file or a series: 128 random bits in hex. */
export function newId(): string {
  return randomBytes(16).toString('hex');
}

/** Begins a series with a new key. Wipes the passphrase once the key is derived from it. */
export function beginSeries(passphrase: Buffer, kdf: ScryptCost): OpenedSeries {
  const key = newSeriesKey();
  const seriesId = newId();
  const head = wrap({ seriesId, key }, passphrase, kdf);
  // Whoever awaits it gets the error; until then it must not count as unhandled.
  void Promise.allSettled([head]);
  return { seriesId, key, head };
}

/**
 * Wraps the key of a series under another passphrase, which is wiped. The salt is new, and so is the key that is
 * derived with it: no such key ever wraps twice.
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
