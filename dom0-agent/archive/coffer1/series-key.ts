import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { RootKey } from './keys.ts';
import { SERIES_KEY_LENGTH } from './coffer1-header.ts';
import { expandKey } from './expand-key.ts';

/** 64 random bytes, from which all keys of the files of a series are derived. */
export type SeriesKey = Uint8Array;

/** A series key as it is in the header of each file of the series. */
export interface WrappedKey {
  readonly wrappedKey: Buffer;
  /** HMAC-SHA512 over it: only the right passphrase gives the same. */
  readonly wrappedKeyMac: Buffer;
}

/** A new random series key. */
export function newSeriesKey(): SeriesKey {
  return randomBytes(SERIES_KEY_LENGTH);
}

/**
 * Encrypts a series key under the key of a passphrase, by exclusive or with bytes that are used for nothing else. With
 * the same root and series id, no two keys may ever be wrapped: that would reveal in which bits they differ.
 */
export function wrapSeriesKey(root: RootKey, seriesId: string, key: SeriesKey): WrappedKey {
  const wrappedKey = exclusiveOr(key, wrapBytes(root, 'enc', seriesId));
  return { wrappedKey, wrappedKeyMac: macOf(root, seriesId, wrappedKey) };
}

/** The series key; undefined if the passphrase is wrong, or the header was tampered with. */
export function unwrapSeriesKey(
  root: RootKey,
  seriesId: string,
  { wrappedKey, wrappedKeyMac }: WrappedKey,
): SeriesKey | undefined {
  if (!timingSafeEqual(macOf(root, seriesId, wrappedKey), wrappedKeyMac)) return undefined;
  return exclusiveOr(wrappedKey, wrapBytes(root, 'enc', seriesId));
}

/** The key of the HMAC-SHA256 that makes the ids of the chunks in a domain. */
export function chunkKey(key: SeriesKey, domain: string): Uint8Array {
  return expandKey(key, `coffer-1 chunk ${domain}`, 32);
}

/** The key of the digest at the end of a map: HMAC-SHA256 over the numbers and ids of all data chunks. */
export function digestKey(key: SeriesKey, domain: string): Uint8Array {
  return expandKey(key, `coffer-1 digest ${domain}`, 32);
}

function macOf(root: RootKey, seriesId: string, wrappedKey: Buffer): Buffer {
  return createHmac('sha512', wrapBytes(root, 'mac', seriesId))
    .update(wrappedKey)
    .digest();
}

function wrapBytes(root: RootKey, purpose: 'enc' | 'mac', seriesId: string): Uint8Array {
  return expandKey(root, `coffer-1 wrap ${purpose} ${seriesId}`, 64);
}

function exclusiveOr(one: Uint8Array, other: Uint8Array): Buffer {
  return Buffer.from(one.map((byte, place) => byte ^ (other[place] ?? 0)));
}
