import { homedir } from 'node:os';
import path from 'node:path';
import { StorageProblem } from '../storage/storage-problem.ts';

/** A path of dom0's as an absolute one: a relative path is relative to the user's home. */
export function resolveLocation(location: string): string {
  if (location === '' || location.includes('\0')) {
    throw new StorageProblem('BAD_REQUEST', 'the path is empty or holds a zero byte');
  }
  return path.resolve(homedir(), location);
}

/** A command line of dom0's. */
export function requireCommand(command: string): string {
  if (command.trim() === '' || command.includes('\0')) {
    throw new StorageProblem('BAD_REQUEST', 'the command is empty or holds a zero byte');
  }
  return command;
}
