import { CofferFailed, type CofferProgram, resultOf } from '../coffer-program.ts';
import { _ } from '../texts.ts';
import { type Source, SourcePage } from '../source-page.ts';
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
  const { destination } = page;
  await wizard.whileBusy(_('Reading the series …'), async () => {
    const words = ['adopt', ...wordsOfPlace(destination), '--', destination.location];
    await resultOf(coffer.start(words), destination);
    await page.lookAgain();
  });
  if (page.series !== null) return true;
  page.refuse('location', _('There is no complete backup there to continue from.'));
  return false;
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
    const { source } = page;
    try {
      const words = ['adopt', ...wordsOfPlace(source), '--', source.location];
      await wizard.whileBusy(_('Reading the series …'), () =>
        resultOf(coffer.start(words), source),
      );
      return source;
    } catch (error) {
      if (!(error instanceof CofferFailed)) throw error;
      page.refuse(error.field, error.message);
    }
  }
  return undefined;
}
