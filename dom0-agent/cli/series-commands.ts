import type { Command } from 'commander';
import type { AdoptFlags } from './adopt.ts';
import { addDirectoryOptions, addSystemOptions } from './archive-options.ts';
import { type CopyFlags, addCopyOptions } from './copy-options.ts';
import type { PassphraseFlags } from './passphrase.ts';
import { addPruneOptions } from './prune-options.ts';

/** Adds the commands for the backups in a directory. */
export function addSeriesCommands(
  program: Command,
  signal: AbortSignal,
  ended: (status: number) => void,
): void {
  addPruneOptions(program.command('prune'))
    .summary('forget old backups of a series')
    .description(
      'Deletes the backups in the directory LOCATION that no rule keeps. What the others need of them is first copied ' +
        'into new files, read back and authenticated. Shows what it will do, and asks for confirmation.',
    )
    .argument('[LOCATION]', 'the directory of the series')
    .action(async (location: string | undefined, _: unknown, command: Command) => {
      const { requestPrune } = await import('./prune-request.ts');
      const request = await requestPrune(location, command);
      const { pruneCommand } = await import('./prune.ts');
      ended(await pruneCommand(request, signal));
    });

  addSystemOptions(addDirectoryOptions(program.command('adopt')))
    .summary('take over the backups in a directory')
    .description(
      'Takes over the backups in the directory LOCATION that dom0 does not know, because another machine made them or ' +
        'dom0 has lost its records. Later backups continue from them. Nothing in the directory is changed.',
    )
    .argument('<LOCATION>', 'the directory of the backups')
    .action(async (location: string, flags: AdoptFlags) => {
      const { adoptCommand } = await import('./adopt.ts');
      ended(await adoptCommand(location, flags, signal));
    });

  addSystemOptions(addDirectoryOptions(program.command('passphrase')))
    .summary('change the passphrase of later backups')
    .description(
      'Changes the passphrase of the series in the directory LOCATION for the backups that are made from now on. ' +
        'Existing backups keep the old one.',
    )
    .argument('<LOCATION>', 'the directory of the backups')
    .option(
      '--new-passphrase-file <FILE>',
      'take the new passphrase from the first line of FILE, or of standard input (-)',
    )
    .action(async (location: string, flags: PassphraseFlags) => {
      const { passphraseCommand } = await import('./passphrase.ts');
      ended(await passphraseCommand(location, flags, signal));
    });

  addCopyOptions(program.command('copy'))
    .summary('copy backups to a second place')
    .description(
      'Copies the backup files that are not there yet from the directory LOCATION to the directory TARGET, and reads ' +
        'them back there. They stay encrypted: no passphrase is needed.',
    )
    .action(async (location: string, target: string, flags: CopyFlags) => {
      const { copyCommand } = await import('./copy.ts');
      ended(await copyCommand(location, target, flags, signal));
    });
}
