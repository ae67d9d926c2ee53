import { type Command, Option } from 'commander';
import { type ArchiveFlags, FILE_OR_COMMAND, addReadingOptions } from './archive-options.ts';
import { addBackupOptions } from './backup-options.ts';
import type { ListFlags } from './list.ts';
import { type RestoreFlags, addRestoreOptions } from './restore-options.ts';

/** Adds the commands that make, read and restore a backup. */
export function addBackupCommands(
  program: Command,
  signal: AbortSignal,
  ended: (status: number) => void,
): void {
  addBackupOptions(program.command('backup'))
    .summary('back up VMs')
    .description(
      'Backs up VMs, by default all that have include_in_backups set, to a new file in the directory ' +
        'LOCATION of the VM that -d names, or of dom0. "dom0" among the VMs means dom0\'s home.',
    )
    .action(async (location: string | undefined, qubes: string[], _: unknown, command: Command) => {
      const { requestBackup } = await import('./backup-request.ts');
      const request = await requestBackup(location, qubes, command);
      const { backupCommand } = await import('./backup.ts');
      ended(await backupCommand(request, signal));
    });

  addReadingOptions(program.command('list'))
    .summary('show the backups in a directory, or what a backup contains')
    .description(
      'Shows when a backup was made and what it contains; checks only its header and qubes.xml. For a ' +
        'directory, shows the backups in it, newest first, and with the passphrase what they contain.',
    )
    .argument(
      '<LOCATION>',
      'a directory or the file of a backup; with --command, a shell command that outputs it',
    )
    .addOption(
      new Option(
        '--no-contents',
        'for a directory: show only names and sizes, and do not ask for the passphrase',
      ).conflicts('command'),
    )
    .action(async (location: string, flags: ListFlags) => {
      const { listCommand } = await import('./list.ts');
      ended(await listCommand(location, flags, signal));
    });

  addReadingOptions(program.command('verify'))
    .summary('check that a backup is complete and authentic')
    .description('Reads a backup to its end, as a restore would, but creates nothing.')
    .argument('<LOCATION>', FILE_OR_COMMAND)
    .argument('[VM...]', 'the VMs to verify; by default all')
    .option(
      '--all',
      'check every file of the series, each part once, and whether all of its backups fit together',
    )
    .addOption(
      new Option(
        '--rolling',
        'check the files of the series that were checked longest ago, about a thirtieth of its bytes',
      ).conflicts('all'),
    )
    .addOption(
      new Option(
        '--compare',
        'compare the volumes on this system with the backup, without reading any data of the backup',
      ).conflicts(['all', 'rolling']),
    )
    .action(async (location: string, qubes: string[], flags: ArchiveFlags) => {
      const { verifyCommand } = await import('./verify.ts');
      ended(await verifyCommand(location, qubes, flags, signal));
    });

  addRestoreOptions(program.command('restore'))
    .summary('restore VMs from a backup')
    .description(
      "Creates the VMs of a backup. Existing VMs are never changed. dom0's home goes to a " +
        "new directory in the home of dom0's user.",
    )
    .action(async (location: string, qubes: string[], flags: RestoreFlags) => {
      const { restoreCommand } = await import('./restore.ts');
      ended(await restoreCommand(location, qubes, flags, signal));
    });
}
