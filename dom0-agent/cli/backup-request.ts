import { resolve } from 'node:path';
import type { Command } from 'commander';
import { UsageError } from '../../shared/errors.ts';
import { type BackupFlags, isPathInDom0 } from './backup-options.ts';
import { aboutField } from './error-field.ts';
import { type NewProfile, newProfile, readProfile } from './profile-files.ts';
import { givenFlags } from './profile.ts';

/** A backup as requested by the user. */
export interface BackupRequest {
  readonly location: string;
  /** Names and patterns; empty: the VMs that are backed up by default. */
  readonly qubes: readonly string[];
  readonly flags: BackupFlags;
  /** Whether `flags.exclude` is from the profile: then it is not an error if such a VM does not exist. */
  readonly excludedByProfile: boolean;
  /** The passphrase, if the profile itself contains it. */
  readonly passphraseText?: string | undefined;
  /** A profile to be written once the user has agreed to the backup. */
  readonly newProfile?: NewProfile;
}

/**
 * The request on the command line, completed by the profile that it may name: options on the command line take
 * precedence. Throws UsageError, also for options that contradict each other.
 */
export async function requestBackup(
  location: string | undefined,
  qubes: readonly string[],
  command: Command,
): Promise<BackupRequest> {
  const flags: BackupFlags = command.opts();
  const request =
    flags.profile === undefined
      ? { ...(await namedLocation(location)), qubes, flags, excludedByProfile: false }
      : await withProfile(flags.profile, location, command);
  refuseContradictions(request.flags);
  const { saveProfile } = flags;
  if (saveProfile === undefined) return request;
  return {
    ...request,
    newProfile: await aboutField('save-profile', () => toBeSaved(saveProfile, request, command)),
  };
}

/** The profile to save, with absolute paths and no passphrase from standard input: a timer will use it. */
async function toBeSaved(
  name: string,
  { location, qubes }: BackupRequest,
  command: Command,
): Promise<NewProfile> {
  const flags = givenFlags<BackupFlags>(command);
  if (flags.profile !== undefined) {
    throw new UsageError('--save-profile saves what is on the command line: leave out --profile');
  }
  const { passphraseFile, dom0Path } = flags;
  if (passphraseFile === '-') {
    throw new UsageError('a profile needs a passphrase file: use -p FILE, or leave out -p');
  }
  return newProfile(name, {
    location: isPathInDom0(flags) ? resolve(location) : location,
    qubes,
    flags: {
      ...flags,
      ...(passphraseFile === undefined ? {} : { passphraseFile: resolve(passphraseFile) }),
      ...(dom0Path === undefined ? {} : { dom0Path: dom0Path.map((each) => resolve(each)) }),
    },
  });
}

async function namedLocation(location: string | undefined): Promise<{ location: string }> {
  return aboutField('location', () => {
    if (location !== undefined) return { location };
    throw new UsageError('LOCATION is missing: name a directory, or a profile with --profile');
  });
}

async function withProfile(
  name: string,
  location: string | undefined,
  command: Command,
): Promise<BackupRequest> {
  if (location !== undefined) {
    throw new UsageError('the profile defines LOCATION and VMs: leave them out with --profile');
  }
  const profile = await aboutField('profile', () => readProfile(name));
  const given = givenFlags<BackupFlags>(command);
  const { qubes, passphraseText } = profile;
  return {
    ...{ location: profile.location, qubes, passphraseText },
    flags: { ...command.opts<BackupFlags>(), ...profile.flags, ...given },
    excludedByProfile: given.exclude === undefined,
  };
}

function refuseContradictions(flags: BackupFlags): void {
  const { format, encrypt, withRecovery, command } = flags;
  refuseWithoutSeries(flags);
  if (format === 'qubes-4' && !encrypt) {
    throw new UsageError(
      '--no-encrypt cannot be used with --format qubes-4: that format is always encrypted',
    );
  }
  if (format === 'qubes-4' && flags.dom0Path !== undefined) {
    throw new UsageError(
      '--dom0-path cannot be used with --format qubes-4: that format has no place for it',
    );
  }
  if (withRecovery !== true) return;
  if (command === true) {
    throw new UsageError('--with-recovery needs a directory: it cannot be used with --command');
  }
  if (format === 'qubes-4') {
    throw new UsageError(
      '--with-recovery cannot be used with --format qubes-4: recover.sh only reads coffer-1',
    );
  }
}

/** Throws UsageError for options that only make sense where a backup may continue from others. */
function refuseWithoutSeries({ format, command, full, newSeries, dedup }: BackupFlags): void {
  const asked = [
    ...(full === true ? ['--full'] : []),
    ...(newSeries === true ? ['--new-series'] : []),
    ...(dedup === undefined ? [] : ['--dedup']),
  ];
  const [option] = asked;
  if (option === undefined) return;
  if (command === true) {
    throw new UsageError(`${option} needs a directory: a command always gets a full backup`);
  }
  if (format === 'qubes-4') {
    throw new UsageError(
      `${option} cannot be used with --format qubes-4: those backups are always full`,
    );
  }
}
