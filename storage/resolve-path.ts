import path from 'node:path';
import { StorageFailure } from './storage-failure.ts';

/** A path as an absolute one; a relative one is relative to `base`. Throws StorageFailure. */
export function resolvePath(base: string, given: string): string {
  if (given === '' || given.includes('\0')) {
    throw new StorageFailure('BAD_REQUEST', 'the path is empty or contains a NUL byte');
  }
  return path.resolve(base, given);
}
