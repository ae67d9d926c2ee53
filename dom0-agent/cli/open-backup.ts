import { formatTime } from '../../shared/local-time.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { Report } from '../../shared/report.ts';
import type { ArchiveReader } from '../archive/archive.ts';
import { SeriesKeys } from '../archive/coffer1/series-keys.ts';
import { notingDamage } from '../backup/note-backup.ts';
import { openArchive } from '../archive/open-archive.ts';
import { withSizeLimits } from '../contents/size-limits.ts';
import type { BackupContents } from '../qubes/backup-contents.ts';
import { withIncompleteUnusable } from '../contents/incomplete-qubes.ts';
import { readContents } from '../contents/read-contents.ts';
import { pathThrough } from '../transport/location.ts';
import type { FetchSource, Listing, Source, Storage } from '../transport/storage.ts';
import { siblingsIn } from './siblings.ts';
import type { ArchiveFlags } from './archive-options.ts';
import { askPassphrase } from './questions.ts';
import { aboutField } from './error-field.ts';
import { advised } from './location-advice.ts';
import type { OpenedSystem } from './open-system.ts';

/** A backup whose header and qubes.xml have been authenticated. */
export interface OpenedBackup extends AsyncDisposable {
  readonly source: Source;
  readonly reader: ArchiveReader;
  readonly contents: BackupContents;
  /** The directory that it is in, as dom0 records it for a series; undefined behind a command. */
  readonly directory: string | undefined;
}

/** What is known already of the directory that a backup is in. */
interface KnownOfDirectory {
  readonly keys?: SeriesKeys;
  /** What it had in it a moment ago. */
  readonly listing?: Listing | undefined;
}

/**
 * Opens the backup that the command line names, and asks for the passphrase: first, if a command must be run or a VM
 * started to open it. Damage is noted in the record of backups. Throws what `openSource` and `openArchive` throw.
 *
 * @param ask asks for the passphrase, which is wiped
 */
export async function openBackup(
  { storage, isHalted, recordFiles }: OpenedSystem,
  location: string,
  flags: ArchiveFlags,
  report: Report,
  signal: AbortSignal,
  ask = (): Promise<Buffer> => askPassphrase(flags.passphraseFile, signal),
  { keys = new SeriesKeys(), listing }: KnownOfDirectory = {},
): Promise<OpenedBackup> {
  const place = await aboutField('dest-vm', () => storage(flags));
  const from = flags.command === true ? { command: location } : { file: location };
  const askFirst =
    flags.command === true || flags.passphraseFile !== undefined || (await isHalted(flags.destVm));
  let passphrase = askFirst ? await ask() : undefined;
  const opening = aboutField('location', () => openSource(place, from, signal));
  const source = await opening.catch((error: unknown) => {
    passphrase?.fill(0);
    throw error;
  });
  const close = async (): Promise<void> => {
    passphrase?.fill(0);
    await source[Symbol.asyncDispose]();
  };
  try {
    passphrase ??= await ask();
    const there = source.place;
    const list = async (): Promise<Listing> =>
      listing ?? (await place.browse(there?.directory ?? '', signal));
    const reading = openArchive(there?.file ?? source, passphrase, signal, {
      forcedFilter: flags.compressionFilter,
      siblings: there && siblingsIn(there.files, list),
      keys,
    }).then(async (opened) => {
      const contents = readContents(await opened.qubesXml(), opened.header);
      return { contents, reader: withSizeLimits(opened, contents) };
    });
    const opened = await notingDamage(reading, recordFiles, source.location, report);
    const directory =
      listing === undefined
        ? there && pathThrough(there.files.location, flags.through)
        : `${place.owner}:${listing.path}`;
    return { source, ...opened, directory, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openSource(place: Storage, from: FetchSource, signal: AbortSignal): Promise<Source> {
  try {
    return await place.openSource(from, signal);
  } catch (error) {
    throw 'file' in from ? advised(error, from.file) : error;
  }
}

/** What can be restored from a backup, as far as is known without reading all of it. */
export async function usableContents(backup: OpenedBackup): Promise<BackupContents> {
  const { source, reader, contents } = backup;
  if (!source.seekable || reader.header.format !== 'coffer-1') return contents;
  return withIncompleteUnusable(contents, reader);
}

/** Describes a backup in a sentence, with its age, since the storage may present an older one. */
export function describeBackup({ source, reader, contents }: OpenedBackup): string {
  const { header, inSeries } = reader;
  const made = contents.created === undefined ? '' : `, made on ${formatTime(contents.created)}`;
  const size = source.size === undefined ? '' : `, ${formatSize(source.size)}`;
  const secrecy = header.encrypted ? 'encrypted' : 'not encrypted';
  const isAlone =
    inSeries === undefined || (inSeries.sequence === 1 && inSeries.needs.length === 0);
  const place = isAlone ? '' : `, number ${inSeries.sequence} of its series`;
  return `A backup in the format ${header.format}${made}${size}${place}, ${secrecy}.`;
}

/** The same for programs: docs/json.md. */
export function backupForPrograms({ source, reader, contents }: OpenedBackup) {
  const { header, inSeries } = reader;
  return {
    location: source.location,
    format: header.format,
    created: contents.created?.toISOString(),
    encrypted: header.encrypted,
    bytes: source.size,
    series: inSeries?.seriesId,
    sequence: inSeries?.sequence,
  };
}
