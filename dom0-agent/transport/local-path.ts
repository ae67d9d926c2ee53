import path from 'node:path';
import { StorageProblem } from '../../storage/storage-problem.ts';

/** A path in dom0 as an absolute one: a relative path is relative to the working directory. */
export function resolvePath(given: string): string {
  if (given === '' || given.includes('\0')) {
    throw new StorageProblem('BAD_REQUEST', 'the path is empty or holds a zero byte');
  }
  return path.resolve(given);
}
