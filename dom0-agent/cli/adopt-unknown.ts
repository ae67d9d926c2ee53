import {
  DamagedError,
  FailedError,
  RefusedError,
  WrongPassphraseError,
} from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { SeriesFile } from '../backup/series-state.ts';
import { adoptDirectory } from './adopt-directory.ts';
import { type BackupContext, type Proposal, storeOf, unknownBackups } from './propose-backup.ts';

/**
 * If dom0 knows no series in the directory, but there are backups, takes over those that the passphrase opens, so that
 * nothing is stored twice. Warns, and goes on, if that is not possible. To be run under the lock for the directory.
 */
export async function adoptUnknown(
  { known, destination, storage }: Proposal,
  passphrase: Buffer,
  context: BackupContext,
): Promise<void> {
  const { request, report, signal } = context;
  const { listing, location } = destination;
  const isAlone = unknownBackups(destination, request.flags).length === 0;
  if (known !== undefined || listing === undefined || isAlone) return;
  // adoptDirectory wipes what it is given.
  const copy = Buffer.from(passphrase);
  try {
    await using files = await storage.openFiles(request.location, signal);
    const place = { files, listing, location };
    const all = await adoptDirectory(storeOf(context), place, copy, signal);
    const news = whatIsNew(all.flatMap(({ adopted }) => adopted));
    report.info(`${news}; this backup continues from there.`);
    for (const { fileName, why } of all.flatMap(({ damaged }) => damaged)) {
      report.warning(`${printable(fileName)} in ${location} cannot be continued: ${why}`);
    }
  } catch (error) {
    // None of these errors is a reason not to back up.
    const isAnswer =
      error instanceof WrongPassphraseError ||
      error instanceof RefusedError ||
      error instanceof DamagedError ||
      error instanceof FailedError;
    if (!isAnswer) throw error;
    report.warning(
      `the backups in ${location} cannot be continued, so everything is stored: ${error.message}`,
    );
  } finally {
    copy.fill(0);
  }
}

/** What dom0 has learnt from the files of all series. */
function whatIsNew(adopted: readonly SeriesFile[]): string {
  const backups = adopted.filter(({ kind }) => kind === 'backup').length;
  if (adopted.length === 0) return 'dom0 knew the backups there from another place';
  if (backups === 0) return 'dom0 did not know what an interrupted backup had sent';
  return `dom0 did not know the ${backups === 1 ? 'backup' : `${backups} backups`} there`;
}
