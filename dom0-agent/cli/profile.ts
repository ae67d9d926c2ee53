import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import { UsageError, messageOf, reasonOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { KiB } from '../../shared/sizes.ts';
import { GREATEST_COST_LOG2N, LEAST_COST_LOG2N } from '../archive/coffer1/scrypt-cost.ts';
import { BACKUP_FORMATS, type BackupFormat } from '../backup/formats.ts';
import { RUNNING_CHOICES, type RunningChoice } from '../backup/plan-backup.ts';
import { COMPRESSION_FILTERS, type CompressionFilter } from '../archive/compress/compression.ts';
import type { BackupFlags } from './backup.ts';

/** Where the profiles are. */
export const PROFILE_DIRECTORY = '/etc/qubes/coffer.d';

const LONGEST_PROFILE = 64 * KiB;

type Settable =
  | 'destVm'
  | 'command'
  | 'excludeIfThere'
  | 'running'
  | 'format'
  | 'encrypt'
  | 'compressFilter'
  | 'kdfCost'
  | 'passphraseFile';

/** What a profile says, in the words of `coffer backup`. */
export interface Profile {
  readonly location: string;
  /** Empty: those that are backed up by default. */
  readonly qubes: readonly string[];
  /** Only those that the profile sets. */
  readonly flags: Partial<Pick<BackupFlags, Settable>>;
}

/**
 * Reads the profile NAME.conf; its format is told by PROFILES in coffer(1). Throws UsageError when
 * it is not there, not right, or could be changed by others than its owner, and when others
 * could read the file of the passphrase that it names.
 */
export async function readProfile(name: string, directory = PROFILE_DIRECTORY): Promise<Profile> {
  if (!/^\w[\w.-]*$/.test(name)) {
    throw new UsageError(
      `"${printable(name)}" cannot be the name of a profile: it has other characters than letters, ` +
        'digits, "_", "-" and "."',
    );
  }
  const file = path.join(directory, `${name}.conf`);
  const profile = parseProfile(await readOwnFile(file), file);
  const { passphraseFile } = profile.flags;
  if (passphraseFile !== undefined) await requireSecret(passphraseFile, file);
  return profile;
}

/** Not yet known to be complete. */
interface Draft {
  location?: string;
  readonly qubes: string[];
  readonly excluded: string[];
  readonly flags: { -readonly [Key in Settable]?: BackupFlags[Key] };
}

/** What a line `option = value` does. Throws UsageError, saying what is wrong with the value. */
const OPTIONS: Readonly<Record<string, (value: string, draft: Draft) => void>> = {
  location: (value, draft) => (draft.location = value),
  vm: (value, { qubes }) => qubes.push(value),
  exclude: (value, { excluded }) => excluded.push(value),
  'dest-vm': (value, { flags }) => (flags.destVm = value),
  'passphrase-file': (value, { flags }) => (flags.passphraseFile = absolutePath(value)),
  'compress-filter': (value, { flags }) => (flags.compressFilter = filterNamed(value)),
  'kdf-cost': (value, { flags }) => (flags.kdfCost = cost(value)),
  format: (value, { flags }) => (flags.format = formatNamed(value)),
  encrypt: (value, { flags }) => (flags.encrypt = isYes(value)),
  command: (value, { flags }) => {
    if (isYes(value)) flags.command = true;
  },
  running: (value, { flags }) => (flags.running = runningNamed(value)),
};
const REPEATABLE = ['vm', 'exclude'];

/**
 * Lines `option = value`; others are empty or begin with `#`. Throws UsageError, naming the line.
 *
 * @param file for messages
 */
export function parseProfile(text: string, file: string): Profile {
  const draft: Draft = { qubes: [], excluded: [], flags: {} };
  const seen = new Set<string>();
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(#.*)?$/.test(line)) continue;
    try {
      const { option, value } = parseLine(line);
      if (seen.has(option) && !REPEATABLE.includes(option)) {
        throw new UsageError(`"${option}" is there twice`);
      }
      seen.add(option);
      OPTIONS[option]?.(value, draft);
    } catch (error) {
      throw new UsageError(`${file}, line ${index + 1}: ${messageOf(error)}`, { cause: error });
    }
  }
  const { location, qubes, excluded, flags } = draft;
  if (location === undefined) {
    throw new UsageError(`${file} does not say where to back up: it lacks a line "location = …"`);
  }
  return {
    location,
    qubes,
    flags: seen.has('exclude') ? { ...flags, excludeIfThere: excluded } : flags,
  };
}

function parseLine(line: string): { option: string; value: string } {
  const [, option = '', value = ''] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
  if (value === '' || /\p{Cc}/u.test(value)) {
    throw new UsageError(`"${printable(line)}" is not "option = value"`);
  }
  if (!Object.hasOwn(OPTIONS, option)) {
    const known = Object.keys(OPTIONS).join(', ');
    throw new UsageError(`there is no option "${printable(option)}" in a profile, only ${known}`);
  }
  return { option, value };
}

function isYes(value: string): boolean {
  if (value !== 'yes' && value !== 'no') {
    throw new UsageError(`it must be yes or no, not "${printable(value)}"`);
  }
  return value === 'yes';
}

function filterNamed(value: string): CompressionFilter | 'none' {
  const filter = [...COMPRESSION_FILTERS, 'none' as const].find((known) => known === value);
  if (filter !== undefined) return filter;
  const known = [...COMPRESSION_FILTERS, 'none'].join(', ');
  throw new UsageError(`"${printable(value)}" is none of the filters ${known}`);
}

function formatNamed(value: string): BackupFormat {
  const format = BACKUP_FORMATS.find((known) => known === value);
  if (format !== undefined) return format;
  throw new UsageError(`"${printable(value)}" is none of the formats ${BACKUP_FORMATS.join(', ')}`);
}

function runningNamed(value: string): RunningChoice {
  const choice = RUNNING_CHOICES.find((known) => known === value);
  if (choice !== undefined) return choice;
  throw new UsageError(`"${printable(value)}" is none of ${RUNNING_CHOICES.join(', ')}`);
}

function cost(value: string): number {
  const log2n = /^\d{1,3}$/.test(value) ? Number(value) : NaN;
  if (log2n >= LEAST_COST_LOG2N && log2n <= GREATEST_COST_LOG2N) return log2n;
  throw new UsageError(
    `the cost must be a whole number from ${LEAST_COST_LOG2N} to ${GREATEST_COST_LOG2N}`,
  );
}

/** A timer has no directory to start from, and no standard input. */
function absolutePath(value: string): string {
  if (path.isAbsolute(value)) return value;
  throw new UsageError(`"${printable(value)}" must be an absolute path`);
}

/** The text of a file that only we, or root, could have written: it decides on what is run. */
async function readOwnFile(file: string): Promise<string> {
  try {
    await using handle = await open(file);
    const { uid, mode, size } = await handle.stat();
    if (!isOurs(uid) || (mode & 0o022) !== 0) {
      throw new UsageError(
        'others could change it: "chown root" and "chmod go-w" make it what it must be',
      );
    }
    if (size > LONGEST_PROFILE) throw new UsageError('it is too long for a profile');
    return await handle.readFile('utf8');
  } catch (error) {
    throw new UsageError(`the profile ${file} cannot be used: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** Throws UsageError unless a file is there and nobody but its owner may read it. */
async function requireSecret(secret: string, profile: string): Promise<void> {
  const what = `the passphrase file ${secret} of ${profile}`;
  const { uid, mode } = await stat(secret).catch((error: unknown) => {
    throw new UsageError(`${what} cannot be used: ${reasonOf(error)}`, { cause: error });
  });
  if (!isOurs(uid) || (mode & 0o077) !== 0) {
    throw new UsageError(`${what} can be read by others: "chmod go=" keeps it from them`);
  }
}

function isOurs(uid: number): boolean {
  return uid === 0 || uid === process.getuid?.();
}
