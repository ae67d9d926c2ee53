import { Command, InvalidArgumentError, Option } from 'commander';
import { ExitStatus } from '../../shared/errors.ts';
import { GREATEST_COST_LOG2N, LEAST_COST_LOG2N } from '../archive/coffer1/scrypt-cost.ts';
import { COMPRESSION_FILTERS, DECOMPRESSIBLE, filterIn } from '../archive/compress/compression.ts';
import { BACKUP_FORMATS, FORMAT_DEFAULTS } from '../backup/formats.ts';
import { RUNNING_CHOICES } from '../backup/plan-backup.ts';
import { suggestion } from '../qubes/names.ts';
import type { ArchiveFlags } from './archive-options.ts';
import type { DevicesFlags } from './devices.ts';
import { showNotice, showResult } from './output.ts';
import type { RestoreFlags } from './restore.ts';
import type { SandboxFlags } from './sandbox.ts';

const EXIT_STATUSES = `
Exit status:
  0    done
  1    failed, or done in part: the closing table says what
  2    wrong usage
  3    wrong passphrase, or the backup is damaged, incomplete or forged
  4    the storage VM, the channel to it or the storage failed
  5    refused before anything was done: a VM is running, a name is taken, …
  130  interrupted`;

const BACKUP_EXAMPLES = `
Examples:
  coffer backup -d sys-usb backups work vault dom0
  coffer backup -d sys-net --command \\
    'ssh backup@example.org "cat > 2026-11-23.part && mv 2026-11-23.part 2026-11-23"' work
  coffer restore -d sys-net --command 'ssh backup@example.org "cat 2026-11-23"' work`;

/** Set by the build from package.json. */
declare const COFFER_VERSION: string;

/**
 * The command line's grammar; what a command does is in the file of its name, which is loaded when the
 * command is called: the help is there at once. `ended` is told the exit status of a command that ends
 * without an error.
 */
export function buildProgram(signal: AbortSignal, ended: (status: number) => void): Command {
  const program = new Command('coffer')
    .description('Backs up and restores Qubes OS virtual machines through untrusted storage.')
    .version(typeof COFFER_VERSION === 'string' ? COFFER_VERSION : 'development')
    .addHelpText('after', EXIT_STATUSES)
    .showHelpAfterError('(coffer --help tells more)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => showResult(text.trimEnd()),
      writeErr: (text) => showNotice(text.trimEnd()),
      outputError: (text, write) => write(text.replace(/^error: /, 'coffer: ')),
    });

  forArchive(program.command('backup'))
    .summary('back up VMs')
    .description(
      'Backs up VMs, by default all that have include_in_backups, to a new file in the directory ' +
        'LOCATION of the VM that -d names, or of dom0. "dom0" among the VMs means dom0\'s home.',
    )
    .argument('[LOCATION]', 'a directory; with --command, a shell command that takes the backup')
    .argument('[VM...]', 'the VMs to back up')
    .option('-x, --exclude <VM>', 'leave this VM out (can be repeated)', collect)
    .addOption(
      new Option(
        '--running <WHAT>',
        'VMs that run: include them as they were last saved, skip them, or refuse; by default include',
      ).choices(RUNNING_CHOICES),
    )
    .addOption(
      new Option('--format <FORMAT>', "coffer's own format, or that of the official tools")
        .choices(BACKUP_FORMATS)
        .default('coffer-1'),
    )
    .option('--no-encrypt', 'only authenticate the backup, do not encrypt it (coffer-1 only)')
    .addOption(
      new Option(
        '-Z, --compress-filter <FILTER>',
        `the program that compresses; by default ${byFormat('compressFilter')}`,
      ).choices([...COMPRESSION_FILTERS, 'none']),
    )
    .option(
      '--kdf-cost <LOG2N>',
      `cost of guessing the passphrase: ${LEAST_COST_LOG2N} to ${GREATEST_COST_LOG2N}, each one doubles ` +
        `it; by default ${byFormat('kdfCost')}`,
      parseCost,
    )
    .option('--with-recovery', 'put the means to recover without coffer beside the backup')
    .option('--profile <NAME>', 'take LOCATION, VMs and options from a profile: see coffer(1)')
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', BACKUP_EXAMPLES)
    .action(async (location: string | undefined, qubes: string[], _: unknown, command: Command) => {
      const { backupArguments } = await import('./backup-arguments.ts');
      const asked = await backupArguments(location, qubes, command);
      const { backupCommand } = await import('./backup.ts');
      ended(await backupCommand(asked.location, asked.qubes, asked.flags, signal));
    });

  forReading(program.command('list'))
    .summary('show what a backup holds')
    .description(
      'Shows when a backup was made and what it holds; checks the header and qubes.xml only.',
    )
    .argument('<LOCATION>', FILE_OR_COMMAND)
    .action(async (location: string, flags: ArchiveFlags) => {
      const { listCommand } = await import('./list.ts');
      ended(await listCommand(location, flags, signal));
    });

  forReading(program.command('verify'))
    .summary('check that a backup is whole and authentic')
    .description('Reads a backup as a restore would, to its end, and creates nothing.')
    .argument('<LOCATION>', FILE_OR_COMMAND)
    .argument('[VM...]', 'the VMs to verify; by default all')
    .action(async (location: string, qubes: string[], flags: ArchiveFlags) => {
      const { verifyCommand } = await import('./verify.ts');
      ended(await verifyCommand(location, qubes, flags, signal));
    });

  forReading(program.command('restore'))
    .summary('restore VMs from a backup')
    .description(
      "Creates the VMs of a backup anew. A VM that exists is never touched. dom0's home goes to a " +
        "new directory in the home of dom0's user.",
    )
    .argument('<LOCATION>', FILE_OR_COMMAND)
    .argument('[VM...]', 'the VMs to restore; by default all')
    .option('-x, --exclude <VM>', 'leave this VM out (can be repeated)', collect)
    .option('--rename-conflicting', 'restore under a new name where the name is taken')
    .option('--skip-conflicting', 'leave out VMs whose name is taken')
    .option('--ignore-missing', 'use the default for a missing template, netvm or default DispVM')
    .option('--skip-broken', 'leave out VMs that lack a template, netvm or default DispVM')
    .option('--skip-dom0-home', "do not restore dom0's home")
    .option('--ignore-username-mismatch', "restore dom0's home though its user had another name")
    .option('--pool <POOL>', 'put the volumes into this storage pool')
    .option('--keep-failed', 'keep a VM that could not be restored whole, tagged restore-failed')
    .option('--ignore-size-limit', 'take volumes larger than the backup says they are')
    .option('--paranoid-mode', 'the backup may come from a compromised system: restore data only')
    .option('--verify-only', 'the same as coffer verify')
    .option('-y, --yes', 'do not ask')
    .action(async (location: string, qubes: string[], flags: RestoreFlags) => {
      const { restoreCommand } = await import('./restore.ts');
      ended(await restoreCommand(location, qubes, flags, signal));
    });

  program
    .command('devices')
    .summary('show devices that can take a backup')
    .description('Lists removable devices mounted in dom0, and the block devices that VMs offer.')
    .option('--system <DIR>', SYSTEM)
    .option('--json', 'print one JSON object as the result')
    .action(async (flags: DevicesFlags) => {
      const { devicesCommand } = await import('./devices.ts');
      ended(await devicesCommand(flags));
    });

  // commander's own would show the help of coffer for a command that there is not.
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
    .action(async (path: string, label: string) => {
      const { readVolumeCommand } = await import('./read-volume.ts');
      ended(await readVolumeCommand(path, label));
    });

  program
    .command('roll-back', { hidden: true })
    .argument('<OWNER>')
    .option('--system <DIR>', SYSTEM)
    .action(async (owner: string, flags: { system?: string }) => {
      const { rollBackCommand } = await import('./roll-back.ts');
      ended(await rollBackCommand(owner, flags));
    });

  program
    .command('sandbox')
    .summary('make a directory that plays a Qubes system')
    .description(
      'Makes a sample Qubes system in a new directory, for trying coffer out: use it with --system.',
    )
    .argument('<DIR>', 'the directory to make')
    .option('--empty', 'only dom0, a template and a storage VM, to restore into')
    .action(async (directory: string, flags: SandboxFlags) => {
      const { sandboxCommand } = await import('./sandbox.ts');
      ended(await sandboxCommand(directory, flags, signal));
    });
  return program;
}

/** Those that the help tells of. */
function namesOf(program: Command): string[] {
  return program
    .createHelp()
    .visibleCommands(program)
    .map((command) => command.name());
}

const FILE_OR_COMMAND = 'the file of the backup; with --command, a shell command that gives it';

const SYSTEM = 'a directory that plays a Qubes system (also: COFFER_SYSTEM)';

/** The options of every command that deals with an archive. */
function forArchive(command: Command): Command {
  return command
    .option('-d, --dest-vm <VM>', 'the VM that LOCATION is in; without it, dom0')
    .option('--command', 'LOCATION is a shell command')
    .option(
      '-p, --passphrase-file <FILE>',
      'the passphrase is the first line of FILE, or of standard input (-), byte by byte',
    )
    .option('--system <DIR>', SYSTEM)
    .option('--json', 'print one JSON object as the result')
    .option('-q, --quiet', 'print errors and warnings only: the exit status tells the result');
}

/** The options of the commands that read one. */
function forReading(command: Command): Command {
  return forArchive(command).option(
    '-Z, --compression-filter <FILTER>',
    'what a backup of the official tools was compressed with, instead of what it says itself',
    parseFilter,
  );
}

/** What is the default in each format: `zstd (coffer-1) or gzip (qubes-4)`. */
function byFormat(option: 'compressFilter' | 'kdfCost'): string {
  return BACKUP_FORMATS.map((format) => `${FORMAT_DEFAULTS[format][option]} (${format})`).join(
    ' or ',
  );
}

function collect(value: string, former: string[] = []): string[] {
  return [...former, value];
}

function parseFilter(command: string): string {
  const name = filterIn(command);
  if (name !== undefined) return name;
  throw new InvalidArgumentError(`it must be one of ${DECOMPRESSIBLE.join(', ')}`);
}

function parseCost(value: string): number {
  const cost = Number(value);
  if (!Number.isInteger(cost) || cost < LEAST_COST_LOG2N || cost > GREATEST_COST_LOG2N) {
    throw new InvalidArgumentError(
      `it must be a whole number from ${LEAST_COST_LOG2N} to ${GREATEST_COST_LOG2N}`,
    );
  }
  return cost;
}
