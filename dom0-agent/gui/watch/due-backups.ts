import { type CofferProgram, resultOf } from '../coffer-program.ts';
import { summaryOf } from '../back-up-qubes/state-page.ts';
import { isOnDisk } from '../disk-paths.ts';
import { isActedOn } from '../notification.ts';
import { _, fill } from '../texts.ts';
import type { DevicesResult, StatusResult } from '../coffer-events.ts';

/** The state of the backups, as far as dom0 knows it. */
export interface BackupsNow {
  /** Whether a VM is due for a backup, was never backed up, or its last backup is damaged. */
  readonly areDue: boolean;
  /** The same in sentences. */
  readonly summary: string;
  /** The disks that hold backups, as far as dom0 knows. */
  readonly disks: readonly BackupDisk[];
}

/** A disk that is attached now. */
export interface BackupDisk {
  readonly id: string;
  /**
   * The qube that it is attached to. dom0 knows that the qube has a disk with backups, but not whether it is this one.
   * Undefined: it is attached to dom0, and holds backups.
   */
  readonly qube: string | undefined;
}

/** Asks coffer for the state of the backups. Throws CofferFailed. */
export async function lookAtBackups(coffer: CofferProgram): Promise<BackupsNow> {
  const status = (await resultOf(coffer.start(['status']))) as StatusResult;
  const devices = (await resultOf(coffer.start(['devices']))) as DevicesResult;
  return {
    areDue: status.qubes.some(({ state }) => state !== 'backed up'),
    summary: summaryOf(status),
    disks: disksIn(devices, status),
  };
}

function disksIn(
  { mounted, offered }: DevicesResult,
  { series }: Pick<StatusResult, 'series'>,
): BackupDisk[] {
  const places = series.map(({ location }) => placeIn(location));
  const holdsBackups = (mountPoint: string): boolean =>
    places.some(
      ({ qube, directory }) => qube === 'dom0' && `${directory}/`.startsWith(`${mountPoint}/`),
    );
  const mayHold = (name: string): boolean =>
    places.some(({ qube, directory }) => qube === name && isOnDisk(directory));
  return [
    ...mounted
      .filter(({ mountPoint }) => holdsBackups(mountPoint))
      .map(({ device }) => ({ id: device, qube: undefined })),
    ...offered
      .map(({ backend, port, attachedTo }) => ({ qube: attachedTo ?? backend, backend, port }))
      .filter(({ qube }) => mayHold(qube))
      .map(({ qube, backend, port }) => ({ id: `${backend}:${port} in ${qube}`, qube })),
  ];
}

/** Splits a location such as `sys-usb:/run/media/user/disk/backups`. */
function placeIn(location: string): { readonly qube: string; readonly directory: string } {
  const at = location.indexOf(':');
  return { qube: location.slice(0, at), directory: location.slice(at + 1) };
}

/**
 * If a backup is due, notifies the user, also of a disk in dom0 that holds backups. Returns whether the user wants to
 * make a backup. Throws CofferFailed, and GLib.Error if nothing can be shown.
 */
export async function wantsDueBackup(coffer: CofferProgram): Promise<boolean> {
  const now = await lookAtBackups(coffer);
  const disk = now.disks.find(({ qube }) => qube === undefined);
  return now.areDue && (await wantsBackup(now, disk));
}

/**
 * Notifies the user of the state of the backups; returns whether the user wants to make one. Throws GLib.Error.
 *
 * @param disk a disk that the notification is about
 */
export async function wantsBackup(
  { summary }: BackupsNow,
  disk: BackupDisk | undefined,
): Promise<boolean> {
  const title =
    disk === undefined
      ? _('Backups are due')
      : disk.qube === undefined
        ? _('The disk of your backups is attached')
        : fill(_('A disk is attached to {qube}'), { qube: disk.qube });
  return isActedOn(title, summary, _('Back up…'));
}
