import type { Command } from 'commander';
import { UsageError } from '../../shared/errors.ts';
import { aboutField } from './error-field.ts';
import { readProfile } from './profile-files.ts';
import { givenFlags } from './profile.ts';
import { type PruneFlags, hasRules } from './prune-options.ts';

/** A prune as requested by the user. */
export interface PruneRequest {
  readonly directory: string;
  readonly flags: PruneFlags & { readonly passphraseVm?: string };
  readonly passphraseText?: string | undefined;
}

/**
 * The request on the command line, completed by the profile that it may name: rules on the command line replace all
 * rules of the profile. Throws UsageError.
 */
export async function requestPrune(
  location: string | undefined,
  command: Command,
): Promise<PruneRequest> {
  const flags: PruneFlags = command.opts();
  const { profile: name } = flags;
  if (name === undefined) {
    if (location !== undefined) return { directory: location, flags };
    throw new UsageError('LOCATION is missing: name a directory, or a profile with --profile');
  }
  if (location !== undefined) {
    throw new UsageError('the profile defines LOCATION: leave it out with --profile');
  }
  const profile = await aboutField('profile', () => readProfile(name));
  const given = givenFlags<PruneFlags>(command);
  const hasAny = hasRules(profile.rules) || hasRules(given);
  // A profile without rules keeps everything: its timer also runs prune, which must not fail then.
  if (profile.flags.command === true && hasAny) {
    throw new UsageError(`the profile ${name} has a command, which keeps no series of backups`);
  }
  const { destVm, through, passphraseFile, passphraseVm } = profile.flags;
  return {
    directory: profile.location,
    flags: {
      ...flags,
      ...(hasRules(given) ? {} : profile.rules),
      ...(destVm === undefined ? {} : { destVm }),
      ...(through === undefined ? {} : { through }),
      ...(passphraseFile === undefined ? {} : { passphraseFile }),
      ...(passphraseVm === undefined ? {} : { passphraseVm }),
      ...given,
    },
    passphraseText: profile.passphraseText,
  };
}
