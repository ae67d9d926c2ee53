import { Command, Option } from 'commander';
import { ExitStatus } from '../../shared/errors.ts';
import { suggestion } from '../qubes/names-from-user.ts';
import type { AdoptFlags } from './adopt.ts';
import {
  type ArchiveFlags,
  FILE_OR_COMMAND,
  type OutputFlags,
  addDirectoryOptions,
  addOutputOptions,
  addReadingOptions,
  addSystemOption,
  addSystemOptions,
  applyOutputOptions,
} from './archive-options.ts';
import { addBackupOptions } from './backup-options.ts';
import { type CopyFlags, addCopyOptions } from './copy-options.ts';
import type { DevicesFlags } from './devices.ts';
import { EXAMPLES, formatExamples } from './examples.ts';
import type { ListFlags } from './list.ts';
import { showNotice, showResult } from './output.ts';
import type { PassphraseFlags } from './passphrase.ts';
import { addPruneOptions } from './prune-options.ts';
import { type RestoreFlags, addRestoreOptions } from './restore-options.ts';
import type { SandboxFlags } from './sandbox.ts';
import { type StatusFlags, addStatusOptions } from './status-options.ts';

/** Exported for the manual. */
export { EXAMPLES } from './examples.ts';

export const EXIT_STATUSES = `
Exit status:
  0    done
  1    failed, or partly done: the table at the end says what
  2    wrong usage
  3    wrong passphrase, or the backup is damaged, incomplete or forged
  4    the storage VM, the channel to it or the storage failed
  5    refused before anything was done: a VM is running, a name is taken, …
  130  interrupted`;

/** Set by the build from package.json. */
declare const COFFER_VERSION: string;

/**
 * The grammar of the command line. Each command is implemented in the file of the same name, which is loaded when the
 * command is called, so that help is fast.
 *
 * @param ended called with the exit status of a command that ends without an error
 */
export function buildProgram(signal: AbortSignal, ended: (status: number) => void): Command {
  const program = new Command('coffer')
    .description(
      'Backs up and restores Qubes OS virtual machines through untrusted storage. Without a command, on a ' +
        'terminal, coffer asks what to do.',
    )
    .version(typeof COFFER_VERSION === 'string' ? COFFER_VERSION : 'development')
    .addHelpText('after', EXIT_STATUSES)
    .showHelpAfterError('(see coffer --help)')
    .exitOverride()
    .hook('preAction', (_, command) => applyOutputOptions(command.opts()))
    .configureOutput({
      writeOut: (text) => showResult(text.trimEnd()),
      writeErr: (text) => showNotice(text.trimEnd()),
      outputError: (text, write) => write(text.replace(/^error: /, 'coffer: ')),
    });

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
    .option(
      '--no-contents',
      'for a directory: show only names and sizes, and do not ask for the passphrase',
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

  // commander's own help command would show the general help for an unknown command.
  program
    .helpCommand(false)
    .command('help', { hidden: true })
    .argument('[COMMAND]')
    .action((name: string | undefined) => {
      const found = program.commands.find((command) => command.name() === name);
      if (name !== undefined && found === undefined) {
        program.error(`error: there is no command ${name}${suggestion(name, namesOf(program))}`, {
          code: 'commander.unknownCommand',
        });
      }
      (found ?? program).outputHelp();
      ended(ExitStatus.done);
    });

  program
    .command('read-volume', { hidden: true })
    .argument('<PATH>')
    .argument('<LABEL>')
    .option('--unsearched')
    .action(async (path: string, label: string, flags: { unsearched?: boolean }) => {
      const { readVolumeCommand } = await import('./read-volume.ts');
      ended(await readVolumeCommand(path, label, flags));
    });

  program
    .command('complete', { hidden: true })
    .argument('[WORD...]')
    .action(async (words: string[]) => {
      const { completeCommand } = await import('./complete.ts');
      ended(await completeCommand(program, words, signal));
    });

  addSystemOption(program.command('roll-back', { hidden: true }))
    .argument('<OWNER>')
    .action(async (owner: string, flags: { system?: string }) => {
      const { rollBackCommand } = await import('./roll-back.ts');
      ended(await rollBackCommand(owner, flags));
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
  for (const command of program.commands) {
    const examples = EXAMPLES[command.name()];
    if (examples !== undefined) command.addHelpText('after', formatExamples(examples));
  }
  return program;
}

/** The names of the commands that the help shows. */
function namesOf(program: Command): string[] {
  return program
    .createHelp()
    .visibleCommands(program)
    .map((command) => command.name());
}
