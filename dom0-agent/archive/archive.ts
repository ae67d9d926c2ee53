import type { DamagedError } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import type { DataPiece } from '../../shared/sparse-data.ts';
import type { StoredVolume } from './coffer1/stored-volumes.ts';
import type { NamedDirectories } from './official/stored-bounds.ts';

/** The first file of every archive: the list of its VMs, with their settings. */
export const QUBES_XML = 'qubes.xml';
/**
 * The file of a VM's directory that says why the VM is incomplete in the backup, for example because it was
 * started while it was read. Its other files are then of no use. In coffer-1 only; it comes after the volumes.
 */
export const INCOMPLETE = 'incomplete.txt';
export const LARGEST_QUBES_XML = 16 * MiB;

/** The formats that coffer reads. It writes `coffer-1` and `qubes-4`. */
export type ArchiveFormat = 'coffer-1' | 'qubes-4' | 'qubes-3' | 'qubes-2';

/** What the header of every format contains. Trustworthy once the header has been authenticated. */
export interface Header {
  readonly format: ArchiveFormat;
  readonly backupId: string | undefined;
  readonly encrypted: boolean;
  /** The program that decompresses (`<filter> -d`), or undefined when nothing is compressed. */
  readonly compressionFilter: string | undefined;
}

/** One file of an archive: a volume, firewall.xml, dom0's home … */
export type ArchivedFile = TarredFile | PlainFile;

/** A file, or a whole tree, as the inner tar that holds it: all of formats 2 to 4, and dom0's home. */
export interface TarredFile {
  /** As in the archive, without the part number: `vm5/private.img`, `dom0-home/home`. Checked:
   *  relative, no empty, `.` or `..` component but for the `.` of format 2's whole directories. */
  readonly path: string;
  /** The inner tar: authenticated, decrypted and decompressed, in chunks of any length. Throws
   *  DamagedError at the first byte that is not authentic. Must be read to its end or returned. */
  readonly innerTar: AsyncIterable<Buffer>;
}

/** A volume or a small file of a coffer-1 backup. */
export interface PlainFile {
  readonly path: string;
  /** In bytes, holes included. */
  readonly size: number;
  /** What is not zeros, authenticated, ascending. Once, in its turn. Throws DamagedError. */
  readonly pieces: () => AsyncIterable<DataPiece>;
}

/** Where a backup stands in its series: coffer-1, of a file. Authentic. */
export interface InSeries {
  readonly seriesId: string;
  /** Which file of its series it is, from 1. */
  readonly sequence: number;
  /** MAC of its manifest, in hex: no other file has it. */
  readonly mac: string;
  /** When it was begun. */
  readonly made: Date;
  /** Ids of the other files in which its data was stored first. */
  readonly needs: readonly string[];
  /** Its volumes, to be held against others. Reads maps, and no data. */
  volumes(): AsyncIterable<StoredVolume>;
  /** The ids of other files of which packs in the directory hold parts. */
  heldByPacks(): Promise<ReadonlySet<string>>;
  /** The paths of its volumes that lie in part in the files with these ids. */
  volumesIn(backupIds: ReadonlySet<string>): Promise<string[]>;
  /**
   * Reads every file of the series in the directory, each part once.
   *
   * @param progress is told of the bytes of data that were checked
   * @param only the ids of the files that are checked, each by itself. Undefined: all of them, and whether each
   *   backup fits together
   */
  check(progress: (bytes: number) => void, only?: ReadonlySet<string>): Promise<CheckedFile[]>;
  /** How many files in the directory say that they are of other series: they are not checked. */
  filesOfOthers(): Promise<number>;
}

/** A file of a series that was checked. Authentic, unless it could not be opened; then its name is known, and the id that it claims. */
export interface CheckedFile {
  /** Fit to be shown. */
  readonly name: string;
  readonly backupId: string;
  /** In bytes. */
  readonly size: number;
  readonly kind: 'backup' | 'data' | 'pack' | undefined;
  readonly made: Date | undefined;
  readonly sequence: number | undefined;
  /** Whether all that is stored in it is authentic: what a backup needs of other files is not meant. */
  readonly isIntact: boolean;
  /** What is wrong with it, or with what it needs, in words; nothing when all is well. */
  readonly damages: string[];
  /** Of a backup, the volumes that cannot be restored whole. */
  readonly volumes: readonly { readonly path: string; readonly damage: DamagedError }[];
  /** Where there are such: the list of its VMs. */
  readonly qubesXml: string | undefined;
}

/**
 * An archive whose header has been authenticated with the passphrase. One pass over its files; when the
 * iteration of `files` ends without an error, the archive is complete as far as the format can tell
 * (for coffer-1: by its manifest).
 */
export interface ArchiveReader {
  readonly header: Header;
  readonly inSeries?: InSeries | undefined;
  /** The text of qubes.xml, authenticated, at most 16 MiB. Call once, before `files`. */
  qubesXml(): Promise<string>;
  /**
   * The files that `wanted` selects, in the archive's order. Others are skipped; on a seekable input they are
   * not even read. A file that the consumer does not read is skipped, too.
   *
   * `named` comes from qubes.xml: a file in another directory, or more data than a directory may have, is a
   * DamagedError. Without it, a stream could go on forever.
   */
  files(wanted: (path: string) => boolean, named?: NamedDirectories): AsyncIterable<ArchivedFile>;
}

/** A file on its way into an archive. */
export interface FileToArchive {
  /** As `ArchivedFile.path`; at most 90 characters. */
  readonly path: string;
  readonly innerTar: AsyncIterable<Buffer>;
}
