import type { OpenedDirectory } from '../../../shared/byte-streams.ts';
import {
  DamagedError,
  RefusedError,
  WrongPassphraseError,
  messageOf,
} from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { type OpenedSeries, type SeriesHead, headOfSeries, openSeries } from './series.ts';
import type { SeriesKey } from './series-key.ts';
import {
  type Claim,
  type FileOfSeries,
  LONGEST_NAME,
  claimOf,
  openClaim,
} from './open-series-file.ts';

/** A series with all its files in a directory, in the order of the series. */
export interface WholeSeries {
  readonly head: SeriesHead;
  readonly key: SeriesKey;
  readonly files: readonly FileOfSeries[];
}

/**
 * How many wrappings of keys are tried in a directory: each takes a key derivation, and the storage could make up any
 * number of them.
 */
const MOST_DERIVATIONS = 50;

/** The series in a directory. */
export interface SeriesInDirectory {
  /** Those that the passphrase opens. */
  readonly series: readonly WholeSeries[];
  /** How many files belong to other series. */
  readonly locked: number;
}

/**
 * Opens all files of each series in a directory that the passphrase opens. No file that claims to belong to one is
 * ignored: a decision about what can be deleted must be based on everything that is there. Other files are ignored.
 *
 * @param passphrase wiped once it is no longer needed
 * @throws RefusedError if there is no series; WrongPassphraseError if none opens; DamagedError if a file is damaged
 */
export async function openWholeSeries(
  directory: OpenedDirectory,
  untrustedNames: readonly string[],
  passphrase: Buffer,
  signal: AbortSignal,
): Promise<SeriesInDirectory> {
  const claims = await claimsIn(directory, untrustedNames, signal, (error) => {
    throw error;
  });
  const tried = new Set<string>();
  try {
    const series: WholeSeries[] = [];
    let locked = 0;
    for (const ofOne of claims) {
      const opened = await unwrap(ofOne, Buffer.from(passphrase), tried, signal).catch(
        orUndefinedIf(WrongPassphraseError),
      );
      if (opened === undefined) {
        locked += ofOne.length;
        continue;
      }
      const files: FileOfSeries[] = [];
      for (const claim of ofOne) files.push(await openClaim(claim, opened.key, signal));
      requireDistinct(files);
      series.push({ ...opened, files: files.sort(byNumber) });
    }
    if (series.length > 0) return { series, locked };
  } finally {
    passphrase.fill(0);
  }
  throw new WrongPassphraseError(
    'the passphrase is wrong, or the headers of the backups were damaged or tampered with',
  );
}

/**
 * What the files of a directory claim to be, by series. Throws RefusedError if there is no series.
 *
 * @param onDamage called for a file that begins like a backup and has a damaged header
 */
async function claimsIn(
  directory: OpenedDirectory,
  untrustedNames: readonly string[],
  signal: AbortSignal,
  onDamage: (error: DamagedError) => void,
): Promise<readonly Claim[][]> {
  const bySeries = new Map<string, Claim[]>();
  for (const untrustedName of untrustedNames) {
    signal.throwIfAborted();
    try {
      const claim = await claimOf(directory, untrustedName);
      if (claim === undefined) continue;
      const { seriesId } = claim.untrustedHeader;
      bySeries.set(seriesId, [...(bySeries.get(seriesId) ?? []), claim]);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      onDamage(error);
    }
  }
  if (bySeries.size === 0)
    throw new RefusedError('there is no backup made by coffer in the directory');
  return [...bySeries.values()];
}

/** A series in a directory, as far as it can be read. */
export interface FoundSeries extends WholeSeries {
  /** Files that claim to belong to it, and cannot be used. */
  readonly damaged: readonly { readonly untrustedName: string; readonly why: string }[];
}

/**
 * Opens every series in a directory whose newest file has this passphrase. Damaged files are only listed, even if a
 * series has no others.
 *
 * @param untrustedNames the newest first, as far as that is known
 * @param passphrase wiped once it is no longer needed
 * @throws RefusedError if there is no series; WrongPassphraseError if none opens
 */
export async function openEachSeries(
  directory: OpenedDirectory,
  untrustedNames: readonly string[],
  passphrase: Buffer,
  signal: AbortSignal,
): Promise<FoundSeries[]> {
  const bySeries = await claimsIn(directory, untrustedNames, signal, () => undefined);
  const tried = new Set<string>();
  try {
    const found: FoundSeries[] = [];
    for (const claims of bySeries) {
      const opened = await unwrap(claims, Buffer.from(passphrase), tried, signal).catch(
        orUndefinedIf(WrongPassphraseError),
      );
      if (opened !== undefined) found.push(await openClaims(claims, opened, signal));
    }
    const usable = found.filter(opensNewest);
    if (usable.length > 0) return usable;
  } finally {
    passphrase.fill(0);
  }
  throw new WrongPassphraseError(
    'no series of backups there has this passphrase; if it was changed, use that of the newest backup',
  );
}

async function openClaims(
  claims: readonly Claim[],
  { key, head }: Pick<WholeSeries, 'key' | 'head'>,
  signal: AbortSignal,
): Promise<FoundSeries> {
  const files = new Map<string, FileOfSeries>();
  const damaged: { untrustedName: string; why: string }[] = [];
  for (const claim of claims) {
    try {
      const opened = await openClaim(claim, key, signal);
      // A copy of a file is as good as the file.
      if (!files.has(opened.file.backupId)) files.set(opened.file.backupId, opened);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      damaged.push({ untrustedName: claim.untrustedName, why: messageOf(error) });
    }
  }
  return { head, key, files: [...files.values()].sort(byNumber), damaged };
}

/**
 * Whether the passphrase is that of the newest file, which the next file continues to use. If all files are damaged, it
 * is not known to be another one.
 */
function opensNewest({ head, files }: FoundSeries): boolean {
  const newest = files.at(-1)?.file.opened.header;
  return newest?.wrappedKeyMac.equals(head.wrappedKeyMac) ?? true;
}

function byNumber({ file: one }: FileOfSeries, { file: other }: FileOfSeries): number {
  return one.manifest.sequence - other.manifest.sequence;
}

/**
 * Opens a series with a passphrase that another machine has given it, and that at least one of these files must have.
 * The files are not authenticated. Undefined if the passphrase opens none.
 *
 * @param passphrase wiped
 */
export async function openRewrapped(
  directory: OpenedDirectory,
  untrustedNames: readonly string[],
  seriesId: string,
  passphrase: Buffer,
  signal: AbortSignal,
): Promise<OpenedSeries | undefined> {
  const claims: Claim[] = [];
  for (const untrustedName of untrustedNames) {
    signal.throwIfAborted();
    const claim = await claimOf(directory, untrustedName).catch(orUndefinedIf(DamagedError));
    if (claim?.untrustedHeader.seriesId === seriesId) claims.push(claim);
  }
  const opened = await unwrap(claims, passphrase, new Set(), signal).catch(
    orUndefinedIf(WrongPassphraseError),
  );
  return opened && { seriesId, key: opened.key, head: Promise.resolve(opened.head) };
}

/**
 * Tries all wrappings, as the passphrase may have been changed: later files then have another wrapping of the key.
 *
 * @param tried the wrappings in the directory that were tried before
 */
async function unwrap(
  claims: readonly Claim[],
  passphrase: Buffer,
  tried: Set<string>,
  signal: AbortSignal,
): Promise<{ key: SeriesKey; head: SeriesHead }> {
  try {
    for (const { untrustedHeader: head } of claims) {
      const { seriesId, kdfSalt, wrappedKey, wrappedKeyMac } = head;
      const wrapping = Buffer.concat([kdfSalt, wrappedKey, wrappedKeyMac]).toString('hex');
      const name = `${seriesId} ${wrapping}`;
      if (tried.has(name) || tried.size === MOST_DERIVATIONS) continue;
      signal.throwIfAborted();
      tried.add(name);
      const opened = await openSeries(head, Buffer.from(passphrase)).catch(
        orUndefinedIf(WrongPassphraseError),
      );
      if (opened === undefined) continue;
      return { key: opened.key, head: headOfSeries(head) };
    }
  } finally {
    passphrase.fill(0);
  }
  throw new WrongPassphraseError(
    'the passphrase is wrong, or the headers of the backups were damaged or tampered with',
  );
}

/** For `catch`: turns an error of this kind into undefined. */
function orUndefinedIf(kind: typeof DamagedError | typeof WrongPassphraseError) {
  return (error: unknown): undefined => {
    if (!(error instanceof kind)) throw error;
  };
}

/** Refuses copies of a file under another name: deleting one would do no harm, but nobody asked for it. */
function requireDistinct(files: readonly FileOfSeries[]): void {
  const names = new Map<string, string>();
  for (const { untrustedName, file } of files) {
    const other = names.get(file.backupId);
    if (other === undefined) names.set(file.backupId, untrustedName);
    else {
      const [one, two] = [other, untrustedName].map((name) => printable(name, LONGEST_NAME));
      throw new RefusedError(
        `${one ?? ''} and ${two ?? ''} are the same backup: remove one of them`,
      );
    }
  }
}
