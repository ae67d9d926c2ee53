import { type KeyObject, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { RefusedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { expandKey } from './expand-key.ts';
import type { SeriesHead } from './series.ts';
import type { SeriesKey } from './series-key.ts';

/** How an Ed25519 private key begins in PKCS #8 (RFC 8410); its 32 bytes follow. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');

/** How much of a name is shown in an error, in characters. */
const LONGEST_SHOWN = 100;

/** A file that may be deleted. */
interface ListedFile {
  readonly backupId: string;
  /** In bytes. */
  readonly size: number;
  readonly stored: { readonly untrustedName: string };
}

/** A series whose files may be deleted. The key that signs its lists is derived from both. */
export interface SigningSeries {
  readonly key: SeriesKey;
  readonly head: Pick<SeriesHead, 'seriesId'>;
}

/** The names that `coffer-gc.sh` accepts. All names that coffer generates match. */
const PLAIN_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]*$/;

/**
 * Throws RefusedError if a file cannot be put on a list because of its name. Names come from the storage: one with a line
 * feed could make dom0 sign that other files may be deleted.
 */
export function requireListable(files: readonly Pick<ListedFile, 'stored'>[]): void {
  const refused = files.find(({ stored }) => !PLAIN_NAME.test(stored.untrustedName));
  if (refused === undefined) return;
  const name = printable(refused.stored.untrustedName, LONGEST_SHOWN);
  throw new RefusedError(
    `the file "${name}" cannot be put on a list of files to delete: rename it, with nothing but letters, digits, ".", ` +
      '"_" and "-" in its name',
  );
}

/** The key that the lists of a series are verified with, as PEM: for `coffer-gc.sh -k`. */
export function publicKeyOf(series: SigningSeries): string {
  return createPublicKey(signingKey(series)).export({ type: 'spki', format: 'pem' }).toString();
}

/**
 * The list of files that may be deleted, for `coffer-gc.sh` on storage from which dom0 cannot delete. It identifies each
 * by its id and length, so that no other file is deleted. It is signed with Ed25519, with a key derived from the series
 * key. Throws RefusedError as `requireListable` does.
 */
export function forgetList(
  series: SigningSeries,
  files: readonly ListedFile[],
  made: Date,
): Buffer {
  requireListable(files);
  const lines = [
    'coffer-1 forget',
    `series ${series.head.seriesId}`,
    `made ${made.toISOString().slice(0, 19)}Z`,
    ...files.map(
      ({ backupId, size, stored }) => `file ${backupId} ${size} ${stored.untrustedName}`,
    ),
    `end ${files.length}`,
  ];
  const text = Buffer.from(lines.map((line) => `${line}\n`).join(''), 'latin1');
  const signature = sign(null, text, signingKey(series)).toString('base64');
  return Buffer.concat([text, Buffer.from(`signature ${signature}\n`)]);
}

/** Whether a file has the name of such a list, and is complete. */
export function isForgetList(untrustedName: string): boolean {
  return untrustedName.startsWith('coffer-forget-') && !untrustedName.endsWith('.partial');
}

/** The ids of the files on a list. Undefined for anything else, and for a list that this series did not sign. */
export function listedIds(untrustedList: Buffer, series: SigningSeries): string[] | undefined {
  const [, text = '', signature = ''] =
    /^(coffer-1 forget\n.*\n)signature ([A-Za-z0-9+/=]+)\n$/s.exec(
      untrustedList.toString('latin1'),
    ) ?? [];
  const key = createPublicKey(signingKey(series));
  const isAuthentic = verify(
    null,
    Buffer.from(text, 'latin1'),
    key,
    Buffer.from(signature, 'base64'),
  );
  if (!isAuthentic) return undefined;
  return [...text.matchAll(/^file ([0-9a-f]{32}) /gm)].map(([, id = '']) => id);
}

function signingKey({ key, head: { seriesId } }: SigningSeries): KeyObject {
  const seed = expandKey(key, `coffer-1 forget ${seriesId}`, 32);
  return createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' });
}
