import path from 'node:path';
import { Command } from 'commander';
import { UsageError, messageOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { type BackupFlags, addBackupOptions } from './backup-options.ts';
import { type RuleFlags, addRules } from './prune-options.ts';

/** The options of `coffer backup` that a profile may set, by their long names. */
const OPTIONS = [
  ...['dest-vm', 'passphrase-file', 'passphrase-vm', 'compress-filter', 'kdf-cost', 'format'],
  ...['encrypt', 'dedup', 'with-recovery', 'command', 'through', 'running', 'exclude', 'dom0-path'],
];
/** The rules of `coffer prune`. */
const RULES = addRules(new Command('prune')).options.map(nameOf);
const KNOWN = ['location', 'vm', ...OPTIONS, ...RULES];
const REPEATABLE = ['vm', 'exclude', 'dom0-path'];

/** The contents of a profile, in the form in which commander returns a command line. */
export interface Profile {
  readonly location: string;
  /** Names and patterns; empty: the VMs that are backed up by default. */
  readonly qubes: readonly string[];
  /** Only the options that the profile sets. */
  readonly flags: Partial<BackupFlags>;
  /** What `coffer prune` keeps. */
  readonly rules: RuleFlags;
  /** The passphrase itself, which official profiles may contain. */
  readonly passphraseText?: string;
}

/**
 * Parses lines `option = value`; empty lines and lines that begin with `#` are skipped. Each line becomes an argument,
 * which the commands' own grammar parses. Throws UsageError, naming the line.
 *
 * @param file for messages
 */
export function parseProfile(text: string, file: string): Profile {
  const [backup, prune] = [silent(addBackupOptions), silent(addRules)];
  const operands = { location: [] as string[], vm: [] as string[] };
  const seen = new Set<string>();
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(#.*)?$/.test(line)) continue;
    try {
      const { option, value } = parseLine(line);
      if (seen.has(option) && !REPEATABLE.includes(option)) {
        throw new UsageError(`"${option}" is given twice`);
      }
      seen.add(option);
      const command = RULES.includes(option) ? prune : backup;
      if (option === 'location' || option === 'vm') operands[option].push(value);
      else command.parseOptions(wordsFor(command, option, value));
    } catch (error) {
      const what = messageOf(error).replace(/^error: /, '');
      throw new UsageError(`${file}, line ${index + 1}: ${what}`, { cause: error });
    }
  }
  const [location] = operands.location;
  if (location === undefined) {
    throw new UsageError(`${file} does not say where to back up: it lacks a line "location = …"`);
  }
  const rules = givenFlags<RuleFlags>(prune);
  return { location, qubes: operands.vm, flags: givenFlags<BackupFlags>(backup), rules };
}

/**
 * The text of a profile, the inverse of `parseProfile`. Throws UsageError for values that cannot be in a profile.
 */
export function formatProfile({ location, qubes, flags }: Omit<Profile, 'rules'>): string {
  const given = new Map(Object.entries(flags));
  const options = silent(addBackupOptions).options.filter(
    (option) => !option.hidden && OPTIONS.includes(nameOf(option)),
  );
  const lines = options.flatMap((option) => {
    const value: unknown = given.get(option.attributeName());
    if (value === undefined) return [];
    return [value].flat().map((each) => [nameOf(option), textOf(each)] as const);
  });
  return [['location', location] as const, ...qubes.map((name) => ['vm', name] as const), ...lines]
    .map(([option, value]) => formatLine(option, value))
    .join('');
}

function formatLine(option: string, value: string): string {
  if (value.trim() === value && value !== '' && !/\p{Cc}/u.test(value)) {
    return `${option} = ${value}\n`;
  }
  throw new UsageError(
    `a profile cannot have "${printable(value)}": it is empty, or has blanks at its ends, or control characters`,
  );
}

function textOf(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return String(value);
}

/** The name of an option in a profile: `encrypt` for `--no-encrypt`. */
function nameOf({ long }: { readonly long?: string | undefined }): string {
  return (long ?? '').replace(/^--(no-)?/, '');
}

/** The grammar of a command, which throws errors instead of printing them. */
function silent(addOptions: (command: Command) => Command): Command {
  return addOptions(new Command())
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
}

/** The options that were given explicitly, without defaults. */
export function givenFlags<Flags extends object>(command: Command): Partial<Flags> {
  const flags: Flags = command.opts();
  return Object.fromEntries(
    Object.entries(flags).filter(([name]) =>
      ['cli', 'implied'].includes(command.getOptionValueSource(name) ?? ''),
    ),
  ) as Partial<Flags>;
}

function parseLine(line: string): { option: string; value: string } {
  const [, option = '', value = ''] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
  if (value === '' || /\p{Cc}/u.test(value)) {
    throw new UsageError(`"${printable(line)}" is not "option = value"`);
  }
  if (!KNOWN.includes(option)) {
    const known = KNOWN.join(', ');
    throw new UsageError(`there is no option "${printable(option)}" in a profile, only ${known}`);
  }
  return { option, value };
}

/** The arguments that a line is equivalent to: `--dest-vm=sys-usb`; none for `encrypt = yes`. */
function wordsFor(command: Command, option: string, value: string): string[] {
  const named = command.options.filter(({ hidden }) => !hidden);
  const found = named.find((each) => nameOf(each) === option);
  if (found?.long === undefined) throw new Error(`coffer backup has no option ${option}`);
  if (found.required) {
    // A timer that uses the profile has no working directory of its own, and no standard input.
    if (option === 'passphrase-file' || option === 'dom0-path') requireAbsolute(value);
    return [`${found.long}=${value}`];
  }
  if (value !== 'yes' && value !== 'no') {
    throw new UsageError(`it must be yes or no, not "${printable(value)}"`);
  }
  return value === (found.negate ? 'no' : 'yes') ? [found.long] : [];
}

function requireAbsolute(file: string): void {
  if (!path.isAbsolute(file)) throw new UsageError(`"${printable(file)}" must be an absolute path`);
}
