import { type Command, InvalidArgumentError, Option } from 'commander';
import { UsageError } from '../../shared/errors.ts';
import { DECOMPRESSIBLE, filterIn } from '../archive/compress/compression.ts';
import { takeAnswersFromInput } from './answers-on-input.ts';

/** The options of every command, as commander returns them: how it writes and asks. */
export interface OutputFlags {
  readonly json?: true;
  readonly questions?: true;
  readonly quiet?: true;
}

/** The options of every command that uses an archive, as commander returns them. */
export interface ArchiveFlags extends OutputFlags {
  readonly destVm?: string;
  /** A shell command that gives access to LOCATION. */
  readonly through?: string;
  readonly command?: true;
  readonly passphraseFile?: string;
  readonly system?: string;
  /** The filter of an official backup, whatever its header says. Only for reading. */
  readonly compressionFilter?: string;
}

/** Describes LOCATION in the commands that read an archive. */
export const FILE_OR_COMMAND =
  'the file of the backup, or a directory: its newest backup, or that of a date (DIR@2026-11-25); ' +
  'with --command, a shell command that outputs it';

/** Describes `--through`. */
export const THROUGH =
  'a shell command that gives access to LOCATION, which then need not be a directory: coffer-rclone, coffer-ssh, or ' +
  'your own command (docs/destinations.md)';

/** Describes how VMs are named. */
export const NAMES_OF_VMS = "names, patterns ('dev-*'), @tag:NAME or @type:CLASS";

/** Adds the options of every command that uses an archive. */
export function addArchiveOptions(command: Command): Command {
  return addSystemOptions(
    addPassphraseOption(
      addPlace(command).addOption(
        new Option('--command', 'LOCATION is a shell command').conflicts('through'),
      ),
    ),
  );
}

/** Adds the options of every command that uses a directory of backups. */
export function addDirectoryOptions(command: Command): Command {
  return addPassphraseOption(addPlace(command));
}

function addPlace(command: Command): Command {
  return command
    .option('-d, --dest-vm <VM>', 'the VM that LOCATION is in; without it, dom0')
    .option('--through <COMMAND>', THROUGH);
}

function addPassphraseOption(command: Command): Command {
  return command.option(
    '-p, --passphrase-file <FILE>',
    'take the passphrase from the first line of FILE, or of standard input (-), byte by byte',
  );
}

/** Adds the options of the commands that read an archive. */
export function addReadingOptions(command: Command): Command {
  return addArchiveOptions(command).option(
    '-Z, --compression-filter <FILTER>',
    'decompress a backup of the official tools with this program, whatever its header says',
    parseFilter,
  );
}

/** Adds the options of every command that works on a Qubes system and has a result. */
export function addSystemOptions(command: Command): Command {
  return addOutputOptions(addSystemOption(command));
}

/** Adds the options of every command. */
export function addOutputOptions(command: Command): Command {
  return command
    .option('-q, --quiet', 'print only errors and warnings: the exit status is the result')
    .option('--json', 'print events for programs, one JSON object per line: see docs/json.md')
    .option(
      '--questions',
      'with --json: ask questions as events, and read the answers from standard input',
    );
}

/** Throws UsageError for options that contradict each other; sets where questions go. */
export function applyOutputOptions({ json, questions }: OutputFlags): void {
  if (questions !== true) return;
  if (json !== true) throw new UsageError('--questions is for programs: use it with --json');
  takeAnswersFromInput();
}

export function addSystemOption(command: Command): Command {
  return command.option(
    '--system <DIR>',
    'a directory that stands in for a Qubes system (also: COFFER_SYSTEM)',
  );
}

export function addExclude(command: Command): Command {
  return command.option(
    '-x, --exclude <VM>',
    'leave out this VM, or these VMs (can be repeated)',
    collect,
  );
}

/** Parses an option that can be repeated: adds its value to the former ones. */
export function collect(value: string, former: string[] = []): string[] {
  return [...former, value];
}

function parseFilter(command: string): string {
  const name = filterIn(command);
  if (name !== undefined) return name;
  throw new InvalidArgumentError(`It must be one of ${DECOMPRESSIBLE.join(', ')}`);
}
