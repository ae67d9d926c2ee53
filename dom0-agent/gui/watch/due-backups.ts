import { type CofferProgram, resultOf } from '../coffer-program.ts';
import { summaryOf } from '../back-up-qubes/state-page.ts';
import { isActedOn } from '../notification.ts';
import { _ } from '../texts.ts';
import type { DevicesResult, StatusResult } from '../told.ts';

/** The state of the backups, as far as dom0 knows it. */
export interface BackupsNow {
  /** Whether a VM is due for a backup, was never backed up, or its last backup is damaged. */
  readonly areDue: boolean;
  /** The same in sentences. */
  readonly summary: string;
  /** The disks in dom0 that hold backups; dom0 does not know what is on disks attached to other qubes. */
  readonly disks: readonly string[];
}

/** Asks coffer for the state of the backups. Throws CofferFailed. */
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
 * If a backup is due, notifies the user, and returns whether the user wants to make one. Throws CofferFailed, and
 * GLib.Error if nothing can be shown.
 */
export async function wantsDueBackup(coffer: CofferProgram): Promise<boolean> {
  const now = await lookAtBackups(coffer);
  return now.areDue && (await wantsBackup(now));
}

/** Notifies the user of the state of the backups; returns whether the user wants to make one. Throws GLib.Error. */
export async function wantsBackup({ disks, summary }: BackupsNow): Promise<boolean> {
  const title = disks.length > 0 ? _('The disk of your backups is attached') : _('Backups are due');
  return isActedOn(title, summary, _('Back up…'));
}
