import type { Command } from 'commander';
import { UsageError } from '../../shared/errors.ts';
import type { BackupFlags } from './backup.ts';
import { readProfile } from './profile.ts';

/** What a backup is asked for with. */
export interface BackupArguments {
  readonly location: string;
  readonly qubes: readonly string[];
  readonly flags: BackupFlags;
}

/**
 * The words of the command line, filled up from the profile that they may name: an option that is given
 * on the command line goes before the profile's. Throws UsageError.
 */
export async function backupArguments(
  location: string | undefined,
  qubes: readonly string[],
  command: Command,
): Promise<BackupArguments> {
  const flags: BackupFlags = command.opts();
  if (flags.profile === undefined) {
    if (location === undefined) {
      throw new UsageError('LOCATION is missing: name a directory, or a profile with --profile');
    }
    return { location, qubes, flags };
  }
  if (location !== undefined) {
    throw new UsageError('the profile tells LOCATION and VMs: leave them out with --profile');
  }
  const profile = await readProfile(flags.profile, process.env['COFFER_PROFILES']);
  const given = Object.fromEntries(
    Object.entries(flags).filter(([name]) => command.getOptionValueSource(name) === 'cli'),
  );
  const ownExclusions = flags.exclude === undefined ? {} : { excludeIfThere: [] };
  return { ...profile, flags: { ...flags, ...profile.flags, ...ownExclusions, ...given } };
}
