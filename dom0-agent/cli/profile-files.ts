import { open, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { RefusedError, UsageError, reasonOf, systemCodeOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { KiB } from '../../shared/sizes.ts';
import { type Profile, formatProfile, parseProfile } from './profile.ts';

const LONGEST_PROFILE = 64 * KiB;
const SUFFIX = '.conf';

/** Whose profile it is: coffer's own, or that of the official tools. */
export type ProfileKind = 'coffer' | 'qubes';
const KINDS = ['coffer', 'qubes'] as const;

/** A profile and the file that it is in. */
export interface ReadProfile extends Profile {
  readonly kind: ProfileKind;
  readonly file: string;
}

/** The directory of each kind of profile. */
export type ProfilePlaces = Readonly<Record<ProfileKind, string>>;

function usualPlaces(): ProfilePlaces {
  return {
    coffer: process.env['COFFER_PROFILES'] ?? '/etc/qubes/coffer.d',
    qubes: process.env['COFFER_QUBES_PROFILES'] ?? '/etc/qubes/backup',
  };
}

function fileIn(directory: string, name: string): string {
  return path.join(directory, `${name}${SUFFIX}`);
}

/**
 * Reads the profile NAME.conf, coffer's own or else an official one; PROFILES in coffer(1) describes the format. Throws
 * UsageError when it does not exist, is invalid, or others could change it, and when others can read the passphrase
 * file that it names.
 */
export async function readProfile(name: string, places = usualPlaces()): Promise<ReadProfile> {
  requireProfileName(name);
  const [own, official] = [fileIn(places.coffer, name), fileIn(places.qubes, name)];
  const isOfficial = !(await isThere(own)) && (await isThere(official));
  return isOfficial ? readProfileOf('qubes', official) : readProfileOf('coffer', own);
}

async function readProfileOf(kind: ProfileKind, file: string): Promise<ReadProfile> {
  // Official profiles belong to the group `qubes`, whose members may do everything in dom0 anyway.
  const text = await readOwnFile(file, kind === 'coffer' ? 0o022 : 0o002);
  const profile = kind === 'coffer' ? parseProfile(text, file) : await parseOfficial(text, file);
  const { passphraseFile } = profile.flags;
  if (passphraseFile !== undefined) await requireSecret(passphraseFile, file);
  return { ...profile, kind, file };
}

/** Loads the YAML parser only if it is needed. */
async function parseOfficial(text: string, file: string): Promise<Profile> {
  const { parseOfficialProfile } = await import('./official-profile.ts');
  return parseOfficialProfile(text, file);
}

/** A profile in one of the directories. */
export interface ListedProfile {
  readonly name: string;
  readonly kind: ProfileKind;
  readonly file: string;
  /** Undefined if it cannot be used. */
  readonly profile: Profile | undefined;
  /** Why it cannot be used, for people. */
  readonly problem: string | undefined;
}

/** All profiles, by name. If both kinds have a profile of the same name, only coffer's can be used, and is listed. */
export async function listProfiles(places = usualPlaces()): Promise<ListedProfile[]> {
  const listed: ListedProfile[] = [];
  for (const kind of KINDS) {
    for (const name of await namesIn(places[kind])) {
      if (listed.some((each) => each.name === name)) continue;
      listed.push(await listedProfile(kind, name, fileIn(places[kind], name)));
    }
  }
  return listed.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

async function listedProfile(
  kind: ProfileKind,
  name: string,
  file: string,
): Promise<ListedProfile> {
  try {
    requireProfileName(name);
    return { name, kind, file, profile: await readProfileOf(kind, file), problem: undefined };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return { name, kind, file, profile: undefined, problem: error.message };
  }
}

/** The names of all profiles. */
export async function namesOfProfiles(places = usualPlaces()): Promise<string[]> {
  const names = await Promise.all(KINDS.map((kind) => namesIn(places[kind])));
  return [...new Set(names.flat())].sort();
}

/** The names of the profiles in a directory; none if there is no such directory. */
async function namesIn(directory: string): Promise<string[]> {
  try {
    const files = await readdir(directory);
    return files.flatMap((file) => (file.endsWith(SUFFIX) ? [file.slice(0, -SUFFIX.length)] : []));
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return [];
    throw new RefusedError(`the profiles in ${directory} cannot be listed: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

/** A profile to be written. */
export interface NewProfile {
  readonly file: string;
  readonly text: string;
}

/**
 * The text and the file of a new profile NAME.conf; nothing is written yet. Throws UsageError for settings that cannot
 * be in a profile, RefusedError when there already is one of that name.
 */
export async function newProfile(
  name: string,
  profile: Omit<Profile, 'rules'>,
  { coffer } = usualPlaces(),
): Promise<NewProfile> {
  requireProfileName(name);
  const text = formatProfile(profile);
  const file = fileIn(coffer, name);
  if (await isThere(file)) throw taken(file);
  const { passphraseFile } = profile.flags;
  if (passphraseFile !== undefined) await requireSecret(passphraseFile, file);
  return { file, text };
}

/** Writes a new profile. Throws RefusedError when that is not possible. */
export async function writeProfile({ file, text }: NewProfile): Promise<void> {
  try {
    await using handle = await open(file, 'wx', 0o644);
    await handle.writeFile(text);
    await handle.sync();
  } catch (error) {
    if (systemCodeOf(error) === 'EEXIST') throw taken(file);
    if (systemCodeOf(error) === 'ENOENT')
      throw new RefusedError(noDirectory(file), { cause: error });
    throw new RefusedError(`the profile ${file} cannot be written: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}

function noDirectory(file: string): string {
  return `the profile ${file} cannot be written: there is no directory ${path.dirname(file)}`;
}

function taken(file: string): RefusedError {
  return new RefusedError(`the profile ${file} already exists: it is not overwritten`);
}

function requireProfileName(name: string): void {
  if (/^\w[\w.-]*$/.test(name)) return;
  throw new UsageError(
    `"${printable(name)}" cannot be the name of a profile: it has characters other than letters, ` +
      'digits, "_", "-" and "."',
  );
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}

/**
 * The text of a profile. Throws UsageError unless only this user or root could have written it, since a profile can
 * make coffer run commands.
 *
 * @param byOthers the write permissions that others must not have, as bits of the mode
 */
async function readOwnFile(file: string, byOthers: number): Promise<string> {
  try {
    await using handle = await open(file);
    const { uid, mode, size } = await handle.stat();
    if (!isOurs(uid) || (mode & byOthers) !== 0) {
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

/** Throws UsageError unless a file exists, belongs to this user or root, and only its owner may read it. */
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
