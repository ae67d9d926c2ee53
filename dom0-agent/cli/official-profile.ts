import { parseDocument } from 'yaml';
import { UsageError, messageOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { COMPRESSION_FILTERS } from '../archive/compress/compression.ts';
import type { BackupFlags } from './backup-options.ts';
import type { Profile } from './profile.ts';

/**
 * Parses a profile of the official tools, in YAML: `_load_backup_profile` in qubes/api/admin.py of qubes-core-admin.
 * There, the VM decides whether destination_path is a directory or a command; here it is a directory, unless
 * `--command` is given. Throws UsageError, naming the file.
 */
export function parseOfficialProfile(text: string, file: string): Profile {
  try {
    return profileOf(fieldsIn(text));
  } catch (error) {
    throw new UsageError(`${file}: ${messageOf(error)}`, { cause: error });
  }
}

const KNOWN = [
  ...['include', 'exclude', 'destination_vm', 'destination_path', 'compression'],
  ...['passphrase_text', 'passphrase_vm'],
];

function fieldsIn(text: string): ReadonlyMap<string, unknown> {
  // YAML 1.1, as the official tools read it. Aliases can expand a short text enormously, and no profile needs them.
  const document = parseDocument(text, { version: '1.1', logLevel: 'error' });
  const [error] = document.errors;
  if (error !== undefined) throw new UsageError(printable(error.message.split('\n')[0] ?? ''));
  const value: unknown = document.toJS({ maxAliasCount: 0 });
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UsageError('it is not a profile: it has no fields');
  }
  const fields = new Map(Object.entries(value));
  const unknown = [...fields.keys()].find((name) => !KNOWN.includes(name));
  if (unknown === undefined) return fields;
  throw new UsageError(`there is no field "${printable(unknown)}", only ${KNOWN.join(', ')}`);
}

function profileOf(fields: ReadonlyMap<string, unknown>): Profile {
  const include = fields.get('include') ?? undefined;
  const qubes = include === undefined ? [] : namesIn('include', include);
  if (include !== undefined && qubes.length === 0) {
    throw new UsageError(
      'include names no VM: leave it out for those that are backed up by default',
    );
  }
  const exclude = namesIn('exclude', fields.get('exclude') ?? []);
  const vm = textIn('destination_vm', fields);
  const passphraseVm = textIn('passphrase_vm', fields);
  const passphraseText = textIn('passphrase_text', fields);
  const filter = filterIn(fields.get('compression'));
  const location = textIn('destination_path', fields);
  if (location === undefined) throw new UsageError('it lacks destination_path');
  const flags: Partial<BackupFlags> = {
    ...(vm === undefined || vm === 'dom0' ? {} : { destVm: vm }),
    ...(exclude.length === 0 ? {} : { exclude }),
    ...(filter === undefined ? {} : { compressFilter: filter }),
    ...(passphraseVm === undefined || passphraseText !== undefined ? {} : { passphraseVm }),
  };
  const secret = passphraseText === undefined ? {} : { passphraseText };
  return { location, qubes, flags, rules: {}, ...secret };
}

/** A list of names of VMs, or of groups, which begin with `$` in older profiles and with `@` in newer ones. */
function namesIn(field: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw new UsageError(`${field} must be a list of VMs`);
  return value.map((name: unknown) => {
    if (typeof name !== 'string' || name === '' || /\p{Cc}/u.test(name)) {
      throw new UsageError(`${field} must be a list of names of VMs`);
    }
    return name.replace(/^\$(?=(tag|type):)/, '@');
  });
}

function textIn(field: string, fields: ReadonlyMap<string, unknown>): string | undefined {
  const value = fields.get(field) ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value === 'string' && value !== '' && !/\p{Cc}/u.test(value)) return value;
  throw new UsageError(`${field} must be a line of text`);
}

/** The filter: true means the default, a text is the command line of a filter. */
function filterIn(value: unknown): BackupFlags['compressFilter'] {
  if (value === undefined || value === null || value === true) return undefined;
  if (value === false) return 'none';
  const [program] = typeof value === 'string' ? value.split(' ') : [];
  const known = COMPRESSION_FILTERS.find(
    (each) => each === (program === 'pigz' ? 'gzip' : program),
  );
  if (known !== undefined) return known;
  throw new UsageError(
    `compression must be true, false or one of ${COMPRESSION_FILTERS.join(', ')}`,
  );
}
