import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { RootKey } from './keys.ts';
import { SERIES_KEY_LENGTH } from './coffer1-header.ts';
import { expandKey } from './expand-key.ts';

/** 64 random bytes that every key of a series' files comes from. */
export type SeriesKey = Uint8Array;

/** A series key as the header of each file of the series holds it. */
export interface WrappedKey {
  readonly wrappedKey: Buffer;
  /** HMAC-SHA512 over it: it holds only under the right passphrase. */
  readonly wrappedKeyMac: Buffer;
}

export function newSeriesKey(): SeriesKey {
  return randomBytes(SERIES_KEY_LENGTH);
}

/**
 * Encrypts a series key under what the passphrase leads to, by exclusive or with bytes that are used for nothing else.
 * For each root and series id there must never be more than one key: two would give away what they have in common.
 */
export function wrapSeriesKey(root: RootKey, seriesId: string, key: SeriesKey): WrappedKey {
  const wrappedKey = exclusiveOr(key, wrapBytes(root, 'enc', seriesId));
  return { wrappedKey, wrappedKeyMac: macOf(root, seriesId, wrappedKey) };
}

/** The series key; undefined when the passphrase is not the one, or the header was tampered with. */
export function unwrapSeriesKey(
  root: RootKey,
  seriesId: string,
  { wrappedKey, wrappedKeyMac }: WrappedKey,
): SeriesKey | undefined {
  if (!timingSafeEqual(macOf(root, seriesId, wrappedKey), wrappedKeyMac)) return undefined;
  return exclusiveOr(wrappedKey, wrapBytes(root, 'enc', seriesId));
}

/** The key of HMAC-SHA256 that gives the chunks of a domain their ids. */
export function chunkKey(key: SeriesKey, domain: string): Uint8Array {
  return expandKey(key, `coffer-1 chunk ${domain}`, 32);
}

/** The key of the digest at the end of a map: HMAC-SHA256 over numbers and ids of all data chunks. */
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
