import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import { Command } from 'commander';
import { UsageError, messageOf, reasonOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { KiB } from '../../shared/sizes.ts';
import { type BackupFlags, addBackupOptions } from './backup-options.ts';

/** Where the profiles are. */
export const PROFILE_DIRECTORY = '/etc/qubes/coffer.d';

const LONGEST_PROFILE = 64 * KiB;

/** The options of `coffer backup` that a profile may set, by their long names. */
const OPTIONS = [
  ...['dest-vm', 'passphrase-file', 'compress-filter', 'kdf-cost', 'format', 'encrypt'],
  ...['command', 'running', 'exclude'],
];
const KNOWN = ['location', 'vm', ...OPTIONS];
const REPEATABLE = ['vm', 'exclude'];

/** The contents of a profile, in the form that commander gives those of the command line. */
export interface Profile {
  readonly location: string;
  /** Empty: those that are backed up by default. */
  readonly qubes: readonly string[];
  /** Only those that the profile sets. */
  readonly flags: Partial<BackupFlags>;
}

/**
 * Reads the profile NAME.conf; its format is described in PROFILES in coffer(1). Throws UsageError when it does not
 * exist, is invalid, or can be changed by others than its owner, and when others can read the passphrase file that
 * it names.
 */
export async function readProfile(name: string, directory = PROFILE_DIRECTORY): Promise<Profile> {
  if (!/^\w[\w.-]*$/.test(name)) {
    throw new UsageError(
      `"${printable(name)}" cannot be the name of a profile: it has characters other than letters, ` +
        'digits, "_", "-" and "."',
    );
  }
  const file = path.join(directory, `${name}.conf`);
  const profile = parseProfile(await readOwnFile(file), file);
  const { passphraseFile } = profile.flags;
  if (passphraseFile !== undefined) await requireSecret(passphraseFile, file);
  return profile;
}

/**
 * Parses lines `option = value`; others are empty or begin with `#`. Each becomes an argument, which the command's
 * own grammar parses. Throws UsageError, naming the line.
 *
 * @param file for messages
 */
export function parseProfile(text: string, file: string): Profile {
  const command = silentCommand();
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
  return { location, qubes: operands.vm, flags: givenFlags(command) };
}

/** The grammar of `coffer backup`, which throws errors and prints nothing. */
function silentCommand(): Command {
  return addBackupOptions(new Command('backup'))
    .exitOverride()
    .configureOutput({ outputError: () => undefined });
}

/** The options that were given explicitly. */
export function givenFlags(command: Command): Partial<BackupFlags> {
  const flags: BackupFlags = command.opts();
  return Object.fromEntries(
    Object.entries(flags).filter(([name]) =>
      ['cli', 'implied'].includes(command.getOptionValueSource(name) ?? ''),
    ),
  );
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

/** The arguments that a line stands for: `--dest-vm=sys-usb`; none for `encrypt = yes`. */
function wordsFor(command: Command, option: string, value: string): string[] {
  const named = command.options.filter(({ hidden }) => !hidden);
  const found = named.find((each) => [`--${option}`, `--no-${option}`].includes(each.long ?? ''));
  if (found?.long === undefined) throw new Error(`coffer backup has no option ${option}`);
  if (found.required) {
    // A timer has no working directory of its own, and no standard input.
    if (option === 'passphrase-file') requireAbsolute(value);
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

/** The text of a file that only this user, or root, could have written: it decides what is run. */
async function readOwnFile(file: string): Promise<string> {
  try {
    await using handle = await open(file);
    const { uid, mode, size } = await handle.stat();
    if (!isOurs(uid) || (mode & 0o022) !== 0) {
      throw new UsageError('others could change it: use "chown root" and "chmod go-w"');
    }
    if (size > LONGEST_PROFILE) throw new UsageError('it is too long for a profile');
    return await handle.readFile('utf8');
  } catch (error) {
    throw new UsageError(`the profile ${file} cannot be used: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** Throws UsageError unless a file exists and only its owner may read it. */
async function requireSecret(secret: string, profile: string): Promise<void> {
  const what = `the passphrase file ${secret} of ${profile}`;
  const { uid, mode } = await stat(secret).catch((error: unknown) => {
    throw new UsageError(`${what} cannot be used: ${reasonOf(error)}`, { cause: error });
  });
  if (!isOurs(uid) || (mode & 0o077) !== 0) {
    throw new UsageError(`${what} can be read by others: use "chmod go="`);
  }
}

function isOurs(uid: number): boolean {
  return uid === 0 || uid === process.getuid?.();
}
