import { type Command, InvalidArgumentError } from 'commander';
import { DECOMPRESSIBLE, filterIn } from '../archive/compress/compression.ts';

/** The options of every command that uses an archive, as commander gives them. */
export interface ArchiveFlags {
  readonly destVm?: string;
  readonly command?: true;
  readonly passphraseFile?: string;
  readonly system?: string;
  readonly json?: true;
  readonly quiet?: true;
  /** The filter of an official backup, whatever its header says. For reading only. */
  readonly compressionFilter?: string;
}

/** LOCATION of the commands that read an archive. */
export const FILE_OR_COMMAND =
  'the file of the backup; with --command, a shell command that outputs it';

/** Adds the options of every command that uses an archive. */
export function addArchiveOptions(command: Command): Command {
  addSystemOptions(
    command
      .option('-d, --dest-vm <VM>', 'the VM that LOCATION is in; without it, dom0')
      .option('--command', 'LOCATION is a shell command')
      .option(
        '-p, --passphrase-file <FILE>',
        'the passphrase is the first line of FILE, or of standard input (-), byte by byte',
      ),
  );
  return command.option(
    '-q, --quiet',
    'print errors and warnings only: the exit status tells the result',
  );
}

/** Adds the options of the commands that read an archive. */
export function addReadingOptions(command: Command): Command {
  return addArchiveOptions(command).option(
    '-Z, --compression-filter <FILTER>',
    'decompress a backup of the official tools with this, whatever its header says',
    parseFilter,
  );
}

/** Adds the options of every command that works on a Qubes system and has a result. */
export function addSystemOptions(command: Command): Command {
  return addSystemOption(command).option('--json', 'print one JSON object as the result');
}

export function addSystemOption(command: Command): Command {
  return command.option(
    '--system <DIR>',
    'a directory that stands in for a Qubes system (also: COFFER_SYSTEM)',
  );
}

export function addExclude(command: Command): Command {
  return command.option('-x, --exclude <VM>', 'leave this VM out (can be repeated)', collect);
}

function collect(value: string, former: string[] = []): string[] {
  return [...former, value];
}

function parseFilter(command: string): string {
  const name = filterIn(command);
  if (name !== undefined) return name;
  throw new InvalidArgumentError(`it must be one of ${DECOMPRESSIBLE.join(', ')}`);
}
