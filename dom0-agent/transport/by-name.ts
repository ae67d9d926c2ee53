import type { ListedEntry } from './storage.ts';

/** The order of a listing. */
export function byName(one: ListedEntry, other: ListedEntry): number {
  if (one.untrustedName === other.untrustedName) return 0;
  return one.untrustedName < other.untrustedName ? -1 : 1;
}
