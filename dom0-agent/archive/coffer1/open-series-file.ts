import type { OpenedDirectory, OpenedFile } from '../../../shared/byte-streams.ts';
import { DamagedError, messageOf } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { type Beginning, beginningOf } from './beginning.ts';
import type { Coffer1Header } from './coffer1-header.ts';
import { authenticateHeader } from './open-header.ts';
import { SeriesFile } from './series-file.ts';
import type { SeriesKey } from './series-key.ts';

/** A file of the series in its directory: everything except its name is authentic. */
export interface FileOfSeries {
  readonly untrustedName: string;
  readonly file: SeriesFile;
}

/** A file of the directory, and its beginning, in which it claims to be something. */
export interface BegunReading {
  readonly untrustedName: string;
  readonly input: OpenedFile;
  readonly beginning: Beginning;
}

/** What a file of the directory claims to be, in its header. */
export interface Claim extends BegunReading {
  readonly untrustedHeader: Coffer1Header;
}

/** The most characters of a file's name that are shown. */
export const LONGEST_NAME = 100;

/**
 * Reads what a file claims to be. Undefined if it is not in coffer's own format, or incomplete. Throws DamagedError.
 */
export async function claimOf(
  directory: OpenedDirectory,
  untrustedName: string,
): Promise<Claim | undefined> {
  if (untrustedName.endsWith('.partial')) return undefined;
  try {
    const input = await directory.open(untrustedName);
    const beginning = await beginningOf(input).catch(notABackup);
    if (beginning?.untrustedFields.get('format') !== 'coffer-1') return undefined;
    const { untrustedHeader } = beginning;
    if (untrustedHeader instanceof DamagedError) throw untrustedHeader;
    return { untrustedName, input, beginning, untrustedHeader };
  } catch (error) {
    throw aboutFile(untrustedName, error);
  }
}

/**
 * Opens a file of a series whose key is known. Undefined for a file of another series, or of another kind. Throws
 * DamagedError if it claims to be of this series, and is not authentic.
 */
export async function openOfSeries(
  directory: OpenedDirectory,
  untrustedName: string,
  { seriesId, key }: { readonly seriesId: string; readonly key: SeriesKey },
  signal: AbortSignal,
): Promise<FileOfSeries | undefined> {
  const claim = await claimOf(directory, untrustedName);
  return claim?.untrustedHeader.seriesId === seriesId
    ? await openClaim(claim, key, signal)
    : undefined;
}

/** The ids that a file claims to have; undefined if it is not in coffer's own format. Throws DamagedError. */
export async function untrustedIdsOf(
  directory: OpenedDirectory,
  untrustedName: string,
): Promise<Pick<Coffer1Header, 'seriesId' | 'backupId'> | undefined> {
  return (await claimOf(directory, untrustedName))?.untrustedHeader;
}

/** Opens a file that claims to be of the series with this key. Throws DamagedError, which names the file. */
export async function openClaim(
  { untrustedName, input, beginning }: BegunReading,
  key: SeriesKey,
  signal: AbortSignal,
): Promise<FileOfSeries> {
  try {
    return { untrustedName, file: await openSeriesFile(input, key, signal, beginning) };
  } catch (error) {
    throw aboutFile(untrustedName, error);
  }
}

/**
 * Opens a file of a series whose key is known: everything that is read from it is authenticated. Throws DamagedError.
 *
 * @param beginning if it has been read already
 */
export async function openSeriesFile(
  input: OpenedFile,
  key: SeriesKey,
  signal: AbortSignal,
  beginning?: Beginning,
): Promise<SeriesFile> {
  const first = beginning ?? (await beginningOf(input).catch(notABackup));
  if (first === undefined) throw new DamagedError('it does not begin as a backup does');
  const header = first.untrustedHeader;
  if (header instanceof DamagedError) throw header;
  const headerMember = await authenticateHeader(first, header, key);
  const { backupId, encrypted } = header;
  const opened = { header, key: { root: key, backupId, encrypted }, signal };
  return await SeriesFile.open(input, opened, headerMember);
}

/** For `catch`: a file whose first members cannot be read is not a backup. */
function notABackup(error: unknown): undefined {
  if (!(error instanceof DamagedError)) throw error;
}

/** Adds the file's name to a DamagedError. */
function aboutFile(untrustedName: string, error: unknown): unknown {
  if (!(error instanceof DamagedError)) return error;
  return new DamagedError(`${printable(untrustedName, LONGEST_NAME)}: ${messageOf(error)}`, {
    cause: error,
  });
}
