import type { Report } from '../../shared/report.ts';
import { type BackupSources, readBackupSources } from '../backup/backup-sources.ts';
import { type BackupPlan, planBackup } from '../backup/plan-backup.ts';
import type { QubesSystem } from '../qubes/system.ts';
import type { BackupRequest } from './backup-request.ts';

/** The VMs to back up, and the plan for them. */
export interface Selection {
  readonly sources: BackupSources;
  /** By name; empty: those that are backed up by default. */
  readonly chosen: readonly string[];
  /** Named by the profile, and not on this system. */
  readonly missing: readonly string[];
  readonly plan: BackupPlan;
}

/** Reads the state of the system, and selects. Warns about VMs that only a profile names and that do not exist. */
export async function selectQubes(
  { qubes, flags, excludedByProfile }: BackupRequest,
  system: QubesSystem,
  report: Report,
): Promise<Selection> {
  const sources = await readBackupSources(system);
  const missing = flags.profile === undefined ? [] : missingOf(qubes, sources);
  for (const name of missing) {
    report.warning(`there is no VM called ${name}, which the profile names: it is not backed up`);
  }
  const chosen = qubes.filter((name) => !missing.includes(name));
  const excluded = flags.exclude ?? [];
  const plan = planBackup(sources, {
    chosen,
    excluded: excludedByProfile ? [] : excluded,
    excludedIfThere: excludedByProfile ? excluded : [],
    running: flags.running ?? 'include',
  });
  for (const name of plan.gone) {
    report.warning(`there is no VM called ${name} any more, which the profile excludes`);
  }
  return { sources, chosen, missing, plan };
}

/**
 * The VMs that a profile names and the system does not have, which must not prevent the backup of the others.
 * Empty when it has none of them: then there is nothing to back up, and the first name is refused.
 */
function missingOf(named: readonly string[], { listed }: BackupSources): string[] {
  const known = new Set(['dom0', ...listed.map(({ name }) => name)]);
  const missing = named.filter((name) => !known.has(name));
  return missing.length === named.length ? [] : missing;
}
