import { type Command, Option } from 'commander';
import { UsageError } from '../../shared/errors.ts';

/*
 * Options of qvm-backup and qvm-backup-restore that people are used to, and that coffer does not have. They are hidden.
 * If coffer does the same anyway, they have no effect; otherwise, the error says what to use instead.
 */

/** Adds the options of qvm-backup. */
export function addHabitsOfBackup(command: Command): Command {
  // For commander, its default is also that of --no-encrypt.
  command.addOption(new Option('-e, --encrypt').hideHelp().default(true));
  return withoutEffect(command, '-z, --compress', '-v, --verbose').addOption(
    new Option('--no-compress').hideHelp().implies({ compressFilter: 'none' }),
  );
}

/** Adds the options of qvm-backup-restore. They throw UsageError where coffer works differently. */
export function addHabitsOfRestore(command: Command): Command {
  withoutEffect(command, '-v, --verbose', '--auto-close');
  for (const [flag, answer] of Object.entries(ANSWERS)) {
    command.addOption(new Option(`--${flag}`).hideHelp());
    command.on(`option:${flag}`, () => {
      throw new UsageError(`there is no --${flag} here: ${answer}`);
    });
  }
  return command;
}

const NO_PARANOID_MODE =
  'in Qubes, that restores in a disposable VM, but coffer reads in dom0 only what your passphrase has ' +
  'authenticated; --distrust-settings leaves out settings that could give a VM influence';

const ANSWERS = {
  'paranoid-mode': NO_PARANOID_MODE,
  'plan-b': NO_PARANOID_MODE,
  'location-is-service':
    'coffer has its own services; LOCATION is a file, or with --command a command',
} as const;

function withoutEffect(command: Command, ...flags: readonly string[]): Command {
  for (const each of flags) command.addOption(new Option(each).hideHelp());
  return command;
}
