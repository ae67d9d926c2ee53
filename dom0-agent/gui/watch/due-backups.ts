import { type CofferProgram, resultOf } from '../coffer-program.ts';
import { summaryOf } from '../back-up-qubes/state-page.ts';
import { isActedOn } from '../notification.ts';
import { _ } from '../texts.ts';
import type { DevicesResult, StatusResult } from '../told.ts';

/** How things are with the backups, as far as dom0 itself knows. */
export interface BackupsNow {
  /** Whether one is overdue, was never made, or is damaged. */
  readonly areDue: boolean;
  /** The same in sentences. */
  readonly summary: string;
  /** The disks in dom0 that hold backups; what is attached to other qubes, they know. */
  readonly disks: readonly string[];
}

/** Throws CofferFailed. */
export async function lookAtBackups(coffer: CofferProgram): Promise<BackupsNow> {
  const status = (await resultOf(coffer.start(['status']))) as StatusResult;
  const { mounted } = (await resultOf(coffer.start(['devices']))) as DevicesResult;
  const holdsBackups = (mountPoint: string): boolean =>
    status.series.some(({ location }) => `${location}/`.startsWith(`dom0:${mountPoint}/`));
  return {
    areDue: status.qubes.some(({ state }) => state !== 'backed up'),
    summary: summaryOf(status),
    disks: mounted.flatMap(({ device, mountPoint }) => (holdsBackups(mountPoint) ? [device] : [])),
  };
}

/**
 * Tells the user when a backup is due, and whether its disk is attached. Gives whether the user wants to make one. Throws
 * CofferFailed, and GLib.Error where nothing can be shown.
 */
export async function wantsDueBackup(coffer: CofferProgram): Promise<boolean> {
  const now = await lookAtBackups(coffer);
  return now.areDue && (await wantsBackup(now));
}

/** Tells the user how things are; gives whether the user wants to make a backup. Throws GLib.Error. */
export async function wantsBackup({ disks, summary }: BackupsNow): Promise<boolean> {
  const title = disks.length > 0 ? _('The disk of your backups is attached') : _('Backups are due');
  return isActedOn(title, summary, _('Back up…'));
}
