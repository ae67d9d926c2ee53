import type { Command } from 'commander';
import { type OutputFlags, addOutputOptions, addSystemOptions } from './archive-options.ts';
import type { DevicesFlags } from './devices.ts';
import type { SandboxFlags } from './sandbox.ts';
import { type StatusFlags, addStatusOptions } from './status-options.ts';

/** Adds the commands that tell about this system, or prepare something in it. */
export function addSystemCommands(
  program: Command,
  signal: AbortSignal,
  ended: (status: number) => void,
): void {
  addStatusOptions(program.command('status'))
    .summary('show when each VM was last backed up')
    .description(
      'Shows when each VM was last backed up, where, and whether that backup has been checked since. The exit ' +
        'status is 1 if a VM is due for a backup, was never backed up, or its last backup was found damaged.',
    )
    .action(async (flags: StatusFlags) => {
      const { statusCommand } = await import('./status.ts');
      ended(await statusCommand(flags));
    });

  addSystemOptions(program.command('devices'))
    .summary('show devices that can take a backup')
    .description('Lists removable devices mounted in dom0, and the block devices that VMs offer.')
    .action(async (flags: DevicesFlags) => {
      const { devicesCommand } = await import('./devices.ts');
      ended(await devicesCommand(flags));
    });

  addOutputOptions(program.command('passphrase-file'))
    .summary('make a file that contains a passphrase')
    .description(
      'Asks for a passphrase twice, and writes it to a new file that only its owner can read, for use with ' +
        '--passphrase-file and in profiles. An existing file is never overwritten.',
    )
    .argument('<FILE>', 'the file to make')
    .action(async (file: string, flags: OutputFlags) => {
      const { passphraseFileCommand } = await import('./passphrase-file.ts');
      ended(await passphraseFileCommand(file, flags, signal));
    });

  addOutputOptions(program.command('profiles'))
    .summary('show the profiles for backups')
    .description(
      "Lists coffer's own profiles in /etc/qubes/coffer.d, and those of the official tools in " +
        '/etc/qubes/backup: each can be used with backup --profile.',
    )
    .action(async (flags: OutputFlags) => {
      const { profilesCommand } = await import('./profiles.ts');
      ended(await profilesCommand(flags));
    });

  addOutputOptions(program.command('sandbox'))
    .summary('make a directory that stands in for a Qubes system')
    .description(
      'Makes a sample Qubes system in a new directory, to try coffer with: use it with --system.',
    )
    .argument('<DIR>', 'the directory to make')
    .option('--empty', 'only dom0, a template and a storage VM, to restore into')
    .action(async (directory: string, flags: SandboxFlags) => {
      const { sandboxCommand } = await import('./sandbox.ts');
      ended(await sandboxCommand(directory, flags, signal));
    });
}
