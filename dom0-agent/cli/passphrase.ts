import { ExitStatus, RefusedError, UsageError, WrongPassphraseError } from '../../shared/errors.ts';
import { type OpenedSeries, openSeries, rewrapSeries } from '../archive/coffer1/series.ts';
import type { SeriesState } from '../backup/series-state.ts';
import { SeriesStore } from '../backup/series-store.ts';
import type { Listing } from '../transport/storage.ts';
import type { AdoptFlags } from './adopt.ts';
import { shortSeriesId } from '../backup/series-card.ts';
import { CommandReport } from './command-report.ts';
import { aboutField } from './error-field.ts';
import { openSystem } from './open-system.ts';
import { askNewPassphrase, askPassphrase, requireTerminal } from './questions.ts';

const NO_TERMINAL =
  'there is no terminal to ask for the new passphrase: use --new-passphrase-file FILE';

/** The options of `coffer passphrase`, as commander returns them. */
export interface PassphraseFlags extends AdoptFlags {
  readonly newPassphraseFile?: string;
}

/** `coffer passphrase`. Returns the exit status. */
export async function passphraseCommand(
  directory: string,
  flags: PassphraseFlags,
  signal: AbortSignal,
): Promise<number> {
  if (flags.passphraseFile === '-' && flags.newPassphraseFile === '-') {
    throw new UsageError('only one of the passphrases can come from standard input');
  }
  using report = new CommandReport(flags);
  const opened = await openSystem(flags.system, (text) => report.info(text));
  const storage = await aboutField('dest-vm', () => opened.storage(flags));
  const listing = await aboutField('location', () => storage.browse(directory, signal));
  const location = `${storage.owner}:${listing.path}`;
  const store = new SeriesStore(opened.seriesDirectory, (text) => report.warning(text));
  const known = await seriesAt(store, location, listing);
  const isAsked = flags.newPassphraseFile === undefined;
  if (isAsked) requireTerminal(NO_TERMINAL);
  const series = await openOneOf(known, await askPassphrase(flags.passphraseFile, signal));
  if (isAsked) report.ask('The passphrase for later backups:');
  const warn = (text: string): void => report.warning(text);
  const passphrase = await askNewPassphrase(flags.newPassphraseFile, 'coffer-1', warn, signal);
  const { kdf } = await series.head;
  const head = await rewrapSeries(series, passphrase, kdf);
  const onWait = (): void => report.info(`waiting for a backup to ${location}`);
  const action = async (): Promise<void> => {
    // A backup may have been added to the series while this command waited for the lock.
    const state = (await seriesAt(store, location, listing)).find(
      (each) => each.head.seriesId === series.seriesId,
    );
    if (state === undefined) throw new RefusedError('dom0 no longer knows this series');
    await store.save({ ...state, head });
  };
  await store.whileLocked(location, action, { onWait, signal });
  // The other series there keep their passphrases.
  const which =
    known.length === 1 ? '' : ` that continue the series ${shortSeriesId(series.seriesId)}`;
  report.say(
    `From now on, backups to ${location}${which} have the new passphrase. Those that are there still open with the old one, and anyone ` +
      'who has one of them and knows the old passphrase can open the later ones as well. To prevent that, begin a ' +
      'new series with another key: coffer backup --new-series.',
  );
  report.result({
    ...{ ok: true, command: 'passphrase', location, series: series.seriesId },
    warnings: report.warnings,
  });
  return ExitStatus.done;
}

/** The series that dom0 knows at this location and that have files there. Throws RefusedError when there are none. */
async function seriesAt(
  store: SeriesStore,
  location: string,
  { entries, truncated }: Listing,
): Promise<SeriesState[]> {
  const names = new Set(entries.map(({ untrustedName }) => untrustedName));
  const known = await store.at(location, ({ fileName }) => truncated || names.has(fileName));
  if (known.length > 0) return known;
  throw new RefusedError(
    `dom0 knows no backups in ${location}: coffer adopt takes over those there`,
  );
}

/**
 * Opens the first series that the passphrase opens. Throws WrongPassphraseError.
 *
 * @param passphrase is wiped
 */
async function openOneOf(known: readonly SeriesState[], passphrase: Buffer): Promise<OpenedSeries> {
  try {
    for (const { head } of known) {
      try {
        return await openSeries(head, Buffer.from(passphrase));
      } catch (error) {
        if (!(error instanceof WrongPassphraseError)) throw error;
      }
    }
  } finally {
    passphrase.fill(0);
  }
  throw new WrongPassphraseError('the passphrase is wrong: enter the current one');
}
