import GLib from 'gi://GLib?version=2.0';
import { CofferFailed, type CofferProgram, resultOf } from '../coffer-program.ts';
import { isActedOn } from '../notification.ts';
import { _, fill } from '../texts.ts';
import type { DevicesResult, ProfilesResult } from '../coffer-events.ts';

/** The exit status of a backup that was refused before anything was done. */
const REFUSED = '5';

/**
 * Notifies the user of a timer's backup that failed, or could not begin; returns whether the user wants to read more.
 * Nothing in the text comes from a qube or a backup. Throws GLib.Error.
 */
export async function wantsDetails(
  coffer: CofferProgram,
  profile: string,
  exitStatus: string,
): Promise<boolean> {
  if (exitStatus !== REFUSED) {
    const sentence = fill(_('The backup with the profile {profile} failed.'), { profile });
    return isActedOn(_('A backup failed'), sentence, _('Details…'));
  }
  const why = await whyPostponed(coffer, profile);
  const sentence = fill(_('The backup with the profile {profile} could not begin.'), { profile });
  return isActedOn(_('A backup was postponed'), `${sentence} ${why}`.trim(), _('Details…'));
}

/** Why a backup could not begin; empty if dom0 cannot tell. */
async function whyPostponed(coffer: CofferProgram, name: string): Promise<string> {
  try {
    const { profiles } = (await resultOf(coffer.start(['profiles']))) as ProfilesResult;
    const profile = profiles.find((each) => each.name === name);
    if (profile === undefined) return '';
    const { vm, location, isCommand, through } = profile;
    if (vm === 'dom0') {
      const isElsewhere = isCommand === true || through !== null;
      const isThere = isElsewhere || GLib.file_test(location ?? '', GLib.FileTest.IS_DIR);
      return isThere
        ? ''
        : fill(_('{location} is not there in dom0.'), { location: location ?? '' });
    }
    const { places } = (await resultOf(coffer.start(['devices']))) as DevicesResult;
    const place = places.find((each) => each.name === vm);
    const isRunning = vm === null || place?.running === true;
    return isRunning ? '' : fill(_('{qube} is not running.'), { qube: vm });
  } catch (error) {
    if (error instanceof CofferFailed) return '';
    throw error;
  }
}
