import { type CofferProgram, resultOf } from '../coffer-program.ts';
import { isActedOn } from '../notification.ts';
import { _ } from '../texts.ts';
import type { DevicesResult, StatusResult } from '../told.ts';
import { summaryOf } from './state-page.ts';

/**
 * Tells the user when a backup is due, and whether its disk is attached. Gives whether the user wants to make one. Throws
 * CofferFailed, and GLib.Error where nothing can be shown.
 */
export async function wantsDueBackup(coffer: CofferProgram): Promise<boolean> {
  const status = (await resultOf(coffer.start(['status']))) as StatusResult;
  if (status.qubes.every(({ state }) => state === 'backed up')) return false;
  const devices = (await resultOf(coffer.start(['devices']))) as DevicesResult;
  const summary = isDiskAttached(status, devices)
    ? _('The disk of your backups is attached')
    : _('Backups are due');
  return isActedOn(summary, summaryOf(status), _('Back up…'));
}

/** Whether a removable device in dom0 holds a series; what is attached to other qubes, they know. */
function isDiskAttached({ series }: StatusResult, { mounted }: DevicesResult): boolean {
  return mounted.some(({ mountPoint }) =>
    series.some(({ location }) => `${location}/`.startsWith(`dom0:${mountPoint}/`)),
  );
}
