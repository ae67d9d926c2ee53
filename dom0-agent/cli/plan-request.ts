import type { Report } from '../../shared/report.ts';
import { type BackupSources, readBackupSources } from '../backup/backup-sources.ts';
import { type BackupPlan, planBackup } from '../backup/plan-backup.ts';
import { expandNames } from '../qubes/names-from-user.ts';
import type { QubesSystem } from '../qubes/system.ts';
import type { BackupRequest } from './backup-request.ts';

/** The VMs to back up, and the plan for them. */
export interface PlannedRequest {
  readonly sources: BackupSources;
  /** The names of the chosen VMs; empty: those that are backed up by default. */
  readonly chosen: readonly string[];
  /** Names in the profile that no VM of this system has. */
  readonly missing: readonly string[];
  readonly plan: BackupPlan;
}

/**
 * Reads the state of the system, and plans what to back up. Warns about VMs that a profile names and that do not exist.
 * Throws like `planBackup`.
 */
export async function planRequest(
  { qubes, flags, excludedByProfile }: BackupRequest,
  system: QubesSystem,
  report: Report,
): Promise<PlannedRequest> {
  const sources = await readBackupSources(system);
  const known = ['dom0', ...sources.listed.map(({ name }) => name)];
  const named = expandNames(qubes, known, sources.qubes);
  const missing = flags.profile === undefined ? [] : missingOf(named, known);
  for (const name of missing) {
    report.warning(`the profile names ${name}, but there is no such VM: it is not backed up`);
  }
  const chosen = named.filter((name) => !missing.includes(name));
  const excluded = expandNames(flags.exclude ?? [], known, sources.qubes);
  const plan = planBackup(sources, {
    chosen,
    excluded: excludedByProfile ? [] : excluded,
    excludedIfThere: excludedByProfile ? excluded : [],
    running: flags.running ?? 'include',
  });
  for (const name of plan.gone) {
    report.warning(`the profile excludes ${name}, but there is no such VM any more`);
  }
  return { sources, chosen, missing, plan };
}

/**
 * The VMs that a profile names and the system does not have: they must not prevent the backup of the others. Empty if
 * the system has none of them: then there is nothing to back up, and the first name will be refused.
 */
function missingOf(named: readonly string[], known: readonly string[]): string[] {
  const missing = named.filter((name) => !known.includes(name));
  return missing.length === named.length ? [] : missing;
}
