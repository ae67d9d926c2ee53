import { posix } from 'node:path';
import { CofferError, messageOf } from '../../../shared/errors.ts';
import { formatSize } from '../../../shared/sizes.ts';
import { timeOfBackupName } from '../../backup/new-backup-file.ts';
import { isRefusal } from '../../transport/storage-errors.ts';
import type { ListedEntry, Listing, Storage } from '../../transport/storage.ts';
import { BACK, type Back } from './in-order.ts';
import type { Purpose } from './place.ts';
import { type Choice, askLine, choose } from './prompts.ts';

/** A name with such characters cannot be shown as it is, so it cannot be chosen. */
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/u;

/** Names that coffer gives to files that are not backups by themselves. */
const NO_BACKUP = /^qubes-(data|pack)-|^coffer-forget-|\.partial$/;

/** What the user chose: a directory to look into, a path to take, or to type the path. */
type Move = { readonly into: string } | { readonly take: string } | { readonly typed: true };

/**
 * Lets the user browse directories, beginning with `start`, and pick one of them, or the file of a backup. Esc leads
 * back to the previous directory.
 */
export async function pickPath(
  storage: Storage,
  start: string,
  purpose: Purpose,
  signal: AbortSignal,
): Promise<string | Back> {
  const before: string[] = [];
  let directory = start;
  for (;;) {
    const move = await askMove(storage, directory, purpose, signal);
    if (move === BACK) {
      const last = before.pop();
      if (last === undefined) return BACK;
      directory = last;
      continue;
    }
    if ('take' in move) return move.take;
    before.push(directory);
    if ('into' in move) {
      directory = move.into;
      continue;
    }
    const typed = await askPath(storage, purpose, signal);
    if (typed !== BACK) return typed;
    before.pop();
  }
}

async function askMove(
  storage: Storage,
  directory: string,
  purpose: Purpose,
  signal: AbortSignal,
): Promise<Move | Back> {
  const listing = await storage.browse(directory, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    if (!(error instanceof CofferError)) throw error;
    return error;
  });
  if (listing instanceof CofferError) {
    // The directory was there a moment ago, so this is rare: show the error as the question.
    return choose<Move>(
      messageOf(listing),
      [{ name: 'type another path', value: { typed: true } }],
      signal,
    );
  }
  const choices = [
    ...here(listing, directory, purpose),
    ...inside(listing, directory, purpose),
    ...above(listing),
    { name: 'another path', value: { typed: true } as const },
  ];
  const where = `${storage.owner}:${listing.path}`;
  return choose<Move>(
    purpose === 'write' ? `Which directory? ${where}` : `Which backup? ${where}`,
    choices,
    signal,
  );
}

function here({ entries, space }: Listing, directory: string, purpose: Purpose): Choice<Move>[] {
  const take = { take: directory };
  if (purpose === 'write') {
    const { freeBytes } = space;
    const free = freeBytes === undefined ? '' : `  (${formatSize(freeBytes)} free)`;
    return [{ name: `this directory${free}`, value: take }];
  }
  return entries.some(isBackup) ? [{ name: 'the newest backup here', value: take }] : [];
}

function inside({ entries }: Listing, directory: string, purpose: Purpose): Choice<Move>[] {
  const shown = entries.filter(({ untrustedName }) => !UNSEEN.test(untrustedName));
  const directories = shown
    .filter(({ kind, untrustedName }) => kind === 'DIRECTORY' && !untrustedName.startsWith('.'))
    .map(({ untrustedName }) => ({
      name: `${untrustedName}/`,
      value: { into: posix.join(directory, untrustedName) },
    }));
  if (purpose === 'write') return directories;
  const files = shown
    .filter(({ kind, untrustedName }) => kind === 'FILE' && !NO_BACKUP.test(untrustedName))
    .toSorted((one, other) => timeOf(other) - timeOf(one))
    .map(({ untrustedName, size }) => ({
      name: `${untrustedName}  (${formatSize(size)})`,
      value: { take: posix.join(directory, untrustedName) },
    }));
  return [...directories, ...files];
}

/** The parent directory, from the resolved path. Nothing if that is not absolute, and so cannot be right. */
function above({ path }: Listing): Choice<Move>[] {
  if (!path.startsWith('/') || path === '/') return [];
  return [{ name: '../', value: { into: posix.dirname(path) } }];
}

function isBackup({ kind, untrustedName }: ListedEntry): boolean {
  return kind === 'FILE' && timeOfBackupName(untrustedName) !== undefined;
}

function timeOf({ untrustedName }: ListedEntry): number {
  return timeOfBackupName(untrustedName)?.getTime() ?? 0;
}

function askPath(storage: Storage, purpose: Purpose, signal: AbortSignal): Promise<string | Back> {
  const whyNot = async (path: string): Promise<string | undefined> =>
    purpose === 'write'
      ? whyNoDirectory(storage, path, signal)
      : whyNoBackup(storage, path, signal);
  return askLine('The path:', whyNot, signal);
}

/** Why nothing can be stored in a directory, for people; undefined if there is no reason. */
export async function whyNoDirectory(
  storage: Storage,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (path.trim() === '') return 'Type a path, or press Esc.';
  try {
    await storage.browse(path, signal);
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    // A directory that cannot be listed may still be writable.
    return isRefusal(error, 'PERMISSION') ? undefined : messageOf(error);
  }
}

/** Why a path is neither a file nor a directory, for people; undefined if it is one of them. */
async function whyNoBackup(
  storage: Storage,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const whyNot = await whyNoDirectory(storage, path, signal);
  if (whyNot === undefined || path.trim() === '') return whyNot;
  try {
    const source = await storage.openSource({ file: path }, signal);
    await source[Symbol.asyncDispose]();
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    return messageOf(error);
  }
}
