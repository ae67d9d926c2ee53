import { DamagedError } from '../../../shared/errors.ts';
import type {
  ArchivedQube,
  BackedUpHome,
  BackedUpPaths,
  BackedUpQube,
  BackupContents,
  UnusableQube,
} from '../backup-contents.ts';
import { type Qube, settableFeatures } from '../qube.ts';
import { formatQubesXml } from './format-qubes-xml.ts';
import { type BackedUpDomain, type FlawedDomain, parseBackedUpDomains } from './parse-qubes-xml.ts';
import { STANDARD_LABELS, type Label, type StoredQube } from './qubes-store.ts';

/**
 * The qubes.xml of a backup has the store's form, with a few more features. Those of the official tools
 * (qubes/backup.py of qubes-core-admin, qubesadmin/backup/core3.py): `backup-content` (`True`, or empty for
 * what is not in the backup), `backup-path`, `backup-size`. And some of coffer's on dom0, whose features no
 * tool restores.
 */
const CONTENT = 'backup-content';
const PATH = 'backup-path';
const SIZE = 'backup-size';
const CREATED = 'backup-created';
const USER = 'backup-user';
/** A list of absolute paths, in JSON, and their size. */
const PATHS = 'backup-dom0-paths';
const PATHS_SIZE = 'backup-dom0-paths-size';
const PATHS_DIRECTORY = 'dom0-home/paths';
/** More are never backed up. */
const MOST_PATHS = 100;
const LONGEST_PATH = 4096;

/** What goes into the qubes.xml of a backup. */
export interface QubesXmlContents {
  readonly created: Date | undefined;
  readonly dom0: Qube;
  readonly dom0Home: BackedUpHome | undefined;
  readonly dom0Paths?: BackedUpPaths | undefined;
  readonly qubes: readonly ArchivedQube[];
}

/**
 * Writes the qubes.xml of a backup: the VMs in it, dom0, their labels, and nothing else of the system. The
 * official tools restore from it; they need the entry of dom0 even when its home is not in the backup.
 */
export function backupQubesXml({
  created,
  dom0,
  dom0Home,
  dom0Paths,
  qubes,
}: QubesXmlContents): string {
  const dom0Features = new Map([
    ...(dom0Home === undefined
      ? [[CONTENT, ''] as const]
      : [...contentFeatures(dom0Home), [USER, dom0Home.user] as const]),
    ...(dom0Paths === undefined
      ? []
      : ([
          [PATHS, asciiJson(dom0Paths.paths)],
          [PATHS_SIZE, `${dom0Paths.size}`],
        ] as const)),
    ...(created === undefined ? [] : [[CREATED, isoSeconds(created)] as const]),
  ]);
  const dom0Entry: StoredQube = {
    name: dom0.name,
    qubeClass: 'AdminVM',
    qid: 0,
    uuid: undefined,
    label: dom0.label,
    properties: new Map(),
    features: dom0Features,
    tags: new Set(),
    devices: [],
    volumes: [],
  };
  return formatQubesXml({
    labels: labelsFor([dom0, ...qubes.map(({ qube }) => qube)]),
    pools: new Map(),
    properties: new Map(),
    qubes: [dom0Entry, ...qubes.map(entryOf)],
    unknownDomains: [],
  });
}

/**
 * Parses the qubes.xml of a backup in the formats coffer-1 and 4. VMs that are mentioned but not in the backup
 * are left out. A flaw in one VM, including its place in the archive, makes that one unusable. Throws
 * DamagedError for what is not a list of VMs, and for an invalid time of the backup.
 */
export function readBackupQubesXml(untrustedText: string): BackupContents {
  const { usable, flawed } = parseBackedUpDomains(untrustedText);
  const unusable = flawed.filter(isInBackup).map(unusableQube);
  const dom0 = usable.find(({ qube }) => isDom0(qube))?.qube;
  const taken = new Set<string>();
  const qubes = usable
    .filter(({ qube }) => !isDom0(qube) && isInBackup(qube))
    .flatMap((domain) => orUnusable(domain.qube, unusable, () => readEntry(domain, taken)));
  const [dom0Home] =
    dom0 !== undefined && isInBackup(dom0)
      ? orUnusable(dom0, unusable, () => readHome(dom0.features))
      : [];
  const [dom0Paths] =
    dom0?.features.has(PATHS) === true
      ? orUnusable(dom0, unusable, () => readPaths(dom0.features))
      : [];
  const created = createdOf(dom0?.features.get(CREATED));
  return { created, dom0Home, dom0Paths, qubes, unusable };
}

function isDom0({ qubeClass }: StoredQube): boolean {
  return qubeClass === 'AdminVM';
}

function orUnusable<T>(qube: StoredQube, unusable: UnusableQube[], read: () => T): T[] {
  try {
    return [read()];
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    unusable.push(unusableQube({ ...qube, why: error.message }));
    return [];
  }
}

function unusableQube({ name, why, features }: FlawedDomain): UnusableQube {
  const [untrustedDirectory] = /^[A-Za-z0-9_.\/-]{1,80}$/.exec(features.get(PATH) ?? '') ?? [];
  return { name, why, directory: untrustedDirectory?.replace(/\/$/, '') };
}

function entryOf({ qube, directory, size }: ArchivedQube): StoredQube {
  return {
    ...qube,
    uuid: undefined,
    features: new Map([
      ...settableFeatures(qube.features),
      ...contentFeatures({ directory, size }),
    ]),
    volumes: qube.volumes.map((volume) => ({ ...volume, settings: new Map() })),
  };
}

function contentFeatures({
  directory,
  size,
}: Pick<ArchivedQube, 'directory' | 'size'>): [string, string][] {
  return [
    [CONTENT, 'True'],
    // The official writer ends a VM's directory with a slash, but not dom0's home.
    [PATH, directory.includes('/') ? directory : `${directory}/`],
    [SIZE, `${size}`],
  ];
}

function labelsFor(qubes: readonly Qube[]): Label[] {
  const used = new Set(qubes.map(({ label }) => label));
  const standard = STANDARD_LABELS.filter(({ name }) => used.has(name));
  const own = [...used].filter((name) => !STANDARD_LABELS.some((label) => label.name === name));
  const first = STANDARD_LABELS.length + 1;
  return [...standard, ...own.map((name, i) => ({ index: first + i, name, color: '' }))];
}

function isInBackup({ features }: Pick<StoredQube, 'features'>): boolean {
  return Boolean(features.get(CONTENT));
}

/** @param taken the directories of other VMs, to which this one's is added */
function readEntry({ qube, remarks }: BackedUpDomain, taken: Set<string>): BackedUpQube {
  const untrustedPath = qube.features.get(PATH) ?? '';
  if (!/^vm\d{1,5}\/?$/.test(untrustedPath)) {
    throw new DamagedError(`qubes.xml does not say where in the backup ${qube.name} is`);
  }
  const directory = untrustedPath.replace(/\/$/, '');
  if (taken.has(directory)) {
    throw new DamagedError(`qubes.xml puts ${qube.name} in the place of another VM`);
  }
  const size = sizeOf(qube.name, qube.features);
  const features = settableFeatures(qube.features);
  for (const feature of [CONTENT, PATH, SIZE]) features.delete(feature);
  taken.add(directory);
  return { qube: { ...qube, features }, directory, size, remarks };
}

function readHome(features: ReadonlyMap<string, string>): BackedUpHome {
  const [, userInPath] = /^dom0-home\/([^/]{1,64})\/?$/.exec(features.get(PATH) ?? '') ?? [];
  const untrustedUser = features.get(USER) ?? userInPath ?? '';
  if (userInPath === undefined || ![userInPath, untrustedUser].every(isUserName)) {
    throw new DamagedError("qubes.xml does not say where in the backup dom0's home is");
  }
  return {
    directory: `dom0-home/${userInPath}`,
    user: untrustedUser,
    size: sizeOf('dom0', features),
  };
}

function readPaths(features: ReadonlyMap<string, string>): BackedUpPaths {
  const untrustedPaths = parsedJson(features.get(PATHS) ?? '');
  const isList =
    Array.isArray(untrustedPaths) &&
    untrustedPaths.length > 0 &&
    untrustedPaths.length <= MOST_PATHS &&
    untrustedPaths.every(isPath);
  if (!isList) {
    throw new DamagedError("qubes.xml does not say which of dom0's files are in the backup");
  }
  const size = sizeOf('dom0', new Map([[SIZE, features.get(PATHS_SIZE) ?? '0']]));
  return { directory: PATHS_DIRECTORY, paths: untrustedPaths, size };
}

/** XML has no place for some characters that a path can have. */
function asciiJson(paths: readonly string[]): string {
  return JSON.stringify(paths).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function parsedJson(untrustedText: string): unknown {
  try {
    return JSON.parse(untrustedText);
  } catch {
    return undefined;
  }
}

function isPath(untrusted: unknown): untrusted is string {
  return (
    typeof untrusted === 'string' && untrusted.startsWith('/') && untrusted.length <= LONGEST_PATH
  );
}

/** What useradd accepts, and a little more: always one harmless component of a path. */
function isUserName(untrustedName: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}\$?$/.test(untrustedName);
}

function sizeOf(name: string, features: ReadonlyMap<string, string>): number {
  const untrustedSize = features.get(SIZE) ?? '0';
  if (/^\d{1,15}$/.test(untrustedSize)) return Number(untrustedSize);
  throw new DamagedError(`qubes.xml gives ${name} a size that is not a number`);
}

function isoSeconds(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z');
}

function createdOf(untrustedText: string | undefined): Date | undefined {
  if (untrustedText === undefined) return undefined;
  const created = new Date(untrustedText);
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(untrustedText) && !isNaN(created.getTime())) {
    return created;
  }
  throw new DamagedError('qubes.xml has an invalid time of the backup');
}
