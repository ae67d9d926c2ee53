import type { Qube } from '../qubes/qube.ts';
import type { BackupCheck, BackupRecord } from './backup-record.ts';

/** The state of the backups of a VM, or of dom0's home. */
export interface QubeStatus {
  readonly name: string;
  /** `damaged`: a check of its last backup failed. `due`: its last backup is too old, or dated in the future. */
  readonly state: 'backed up' | 'due' | 'never' | 'damaged';
  readonly created?: Date;
  /** Undefined if only the VM says that there was a backup: another tool made it, or the record is lost. */
  readonly location?: string;
  readonly check?: BackupCheck;
}

const DAY = 24 * 60 * 60 * 1000;

/** The state of each of these VMs at the time `now`: one is due if its last backup is more than `days` old. */
export function backupStatus(
  qubes: readonly Qube[],
  record: BackupRecord,
  now: Date,
  days: number,
): QubeStatus[] {
  return qubes.map((qube) => {
    const last = lastBackupOf(qube, record);
    if (last === undefined) return { name: qube.name, state: 'never' };
    const age = now.getTime() - last.created.getTime();
    const isDue = age > days * DAY || age < -DAY;
    const state = last.check?.result === 'damaged' ? 'damaged' : isDue ? 'due' : 'backed up';
    return { name: qube.name, state, ...last };
  });
}

/**
 * The last backup in the record, unless the VM's `backup_timestamp`, which Qubes' own tools also set, says that there
 * was a later one.
 */
function lastBackupOf(
  { name, properties }: Qube,
  record: BackupRecord,
): { created: Date; location?: string; check?: BackupCheck } | undefined {
  const noted = record.get(name);
  const timestamp = timestampOf(properties.get('backup_timestamp') ?? '');
  if (timestamp > (noted?.created ?? 0)) return { created: new Date(timestamp * 1000) };
  if (noted === undefined) return undefined;
  const { created, ...rest } = noted;
  return { created: new Date(created * 1000), ...rest };
}

/** Seconds since 1970; 0 if there is no time. */
function timestampOf(value: string): number {
  return /^\d{1,11}$/.test(value) ? Number(value) : 0;
}
