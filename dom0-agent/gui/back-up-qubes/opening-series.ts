import { CofferFailed, type CofferProgram, resultOf } from '../coffer-program.ts';
import { _ } from '../texts.ts';
import { ReviewPage } from '../review-page.ts';
import { type Source, SourcePage } from '../source-page.ts';
import type { AdoptResult } from '../coffer-events.ts';
import { fileThere, wordsOfPlace } from '../verification.ts';
import type { Wizard } from '../wizard.ts';
import type { DestinationPage } from './destination-page.ts';

/**
 * Checks the passphrase of the series that the backup continues, and takes the series over if dom0 does not know it.
 * Returns false if that fails; then the page says why.
 */
export async function opensSeries(
  wizard: Wizard,
  coffer: CofferProgram,
  page: DestinationPage,
): Promise<boolean> {
  try {
    if (page.adopts) return await adopt(wizard, coffer, page);
    await open(wizard, coffer, page);
    return true;
  } catch (error) {
    if (!(error instanceof CofferFailed)) throw error;
    page.refuse(error.field, error.message);
    return false;
  }
}

async function open(wizard: Wizard, coffer: CofferProgram, page: DestinationPage): Promise<void> {
  const { series, destination } = page;
  if (series === null) return;
  const file = fileThere(destination.location, series.file);
  const listing = coffer.start(['list', ...wordsOfPlace(destination), '--', file]);
  await wizard.whileBusy(_('Checking the passphrase …'), () => resultOf(listing, destination));
}

async function adopt(
  wizard: Wizard,
  coffer: CofferProgram,
  page: DestinationPage,
): Promise<boolean> {
  if (!(await isAdopted(wizard, coffer, page.destination))) return false;
  await wizard.whileBusy(_('Looking there …'), () => page.lookAgain());
  if (page.series !== null) return true;
  page.refuse('location', _('There is no complete backup there to continue from.'));
  return false;
}

/**
 * Lets dom0 continue backups that it does not know. If there are warnings, such as that the storage shows an old state,
 * returns whether the user goes on nevertheless.
 */
async function isAdopted(wizard: Wizard, coffer: CofferProgram, source: Source): Promise<boolean> {
  const words = ['adopt', ...wordsOfPlace(source), '--', source.location];
  const { warnings } = (await wizard.whileBusy(_('Reading the series …'), () =>
    resultOf(coffer.start(words), source),
  )) as AdoptResult;
  if (warnings.length === 0) return true;
  return wizard.ask(
    new ReviewPage(_('Do you want to continue these backups?'), _('_Go on'), warnings),
  );
}

/**
 * Asks where backups are that dom0 does not know, and lets dom0 continue them. Returns where; undefined if the user went
 * back.
 */
export async function openOtherBackups(
  wizard: Wizard,
  coffer: CofferProgram,
): Promise<Source | undefined> {
  const page = new SourcePage(wizard, coffer, {
    title: _('Where are the other backups?'),
    location: _('_Directory'),
    enter: _('Enter a directory.'),
  });
  await wizard.whileBusy(_('Looking for devices …'), () => page.prepare());
  while (await wizard.ask(page)) {
    try {
      if (await isAdopted(wizard, coffer, page.source)) return page.source;
    } catch (error) {
      if (!(error instanceof CofferFailed)) throw error;
      page.refuse(error.field, error.message);
    }
  }
  return undefined;
}
