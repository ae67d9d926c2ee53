import type { DamagedError } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import type { DataPiece } from '../../shared/sparse-data.ts';
import type { StoredVolume } from './coffer1/stored-volumes.ts';
import type { NamedDirectories } from './official/stored-bounds.ts';

/** The first file of every archive: the list of its VMs, with their settings. */
export const QUBES_XML = 'qubes.xml';
/**
 * The file in a VM's directory that says why the VM is incomplete in the backup, for example because it was started
 * while it was read. The VM cannot be restored then. In coffer-1 only; it comes after the volumes.
 */
export const INCOMPLETE = 'incomplete.txt';
/** In bytes. */
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
  /**
   * As in the archive, without the part number: `vm5/private.img`, `dom0-home/home`. It has been checked: relative, no
   * empty, `.` or `..` component, except the `.` of the whole directories in format 2.
   */
  readonly path: string;
  /**
   * The inner tar: authenticated, decrypted and decompressed, in chunks of any length. Throws DamagedError at the first
   * byte that is not authentic. Must be read to its end or returned.
   */
  readonly innerTar: AsyncIterable<Buffer>;
}

/** A volume or a small file of a coffer-1 backup. */
export interface PlainFile {
  readonly path: string;
  /** In bytes, holes included. */
  readonly size: number;
  /**
   * The data that is not zeros, authenticated, ascending. To be read once, before the next file. Throws DamagedError.
   */
  readonly pieces: () => AsyncIterable<DataPiece>;
}

/** The place of a backup in its series, authenticated. Only for coffer-1, read from a file. */
export interface InSeries {
  readonly seriesId: string;
  /** Its number among the files of its series, from 1. */
  readonly sequence: number;
  /** The MAC of its manifest, in hex: no other file has it. */
  readonly mac: string;
  /** When it was begun. */
  readonly made: Date;
  /** The ids of the other files in which some of its data was first stored. */
  readonly needs: readonly string[];
  /** Its volumes, to be compared with others. Reads their maps, but no data. */
  volumes(): AsyncIterable<StoredVolume>;
  /** The ids of the files some of whose parts are in packs in the directory. */
  heldByPacks(): Promise<ReadonlySet<string>>;
  /** The paths of those of its volumes that need data first stored in the files with these ids. */
  volumesIn(backupIds: ReadonlySet<string>): Promise<string[]>;
  /**
   * Reads every file of the series in the directory, each part once.
   *
   * @param progress called with the number of bytes of data that were checked
   * @param only the ids of the files to check, each by itself; undefined: all of them, and whether each backup is
   *   complete and consistent with the files that it needs
   */
  check(progress: (bytes: number) => void, only?: ReadonlySet<string>): Promise<CheckedFile[]>;
  /** How many files in the directory say that they are of other series: they are not checked. */
  filesOfOthers(): Promise<number>;
}

/**
 * The result of checking a file of a series. All of it is authentic, unless the file could not be opened: then only its
 * name, its size and the id that it claims are known.
 */
export interface CheckedFile {
  /** Printable. */
  readonly name: string;
  readonly backupId: string;
  /** In bytes. */
  readonly size: number;
  readonly kind: 'backup' | 'data' | 'pack' | undefined;
  readonly made: Date | undefined;
  readonly sequence: number | undefined;
  /** Whether everything stored in it is authentic. What a backup needs from other files does not count. */
  readonly isIntact: boolean;
  /** What is wrong with the file, in words; empty if nothing is. For people, what is wrong with `volumes` is added. */
  readonly damages: string[];
  /** Of a backup: the volumes that cannot be restored completely. */
  readonly volumes: readonly { readonly path: string; readonly damage: DamagedError }[];
  /** The list of its VMs, if there are such volumes. */
  readonly qubesXml: string | undefined;
}

/**
 * An archive whose header has been authenticated with the passphrase. Its files are read in one pass. When the
 * iteration of `files` ends without an error, the archive is complete as far as the format can tell (for coffer-1: by
 * its manifest).
 */
export interface ArchiveReader {
  readonly header: Header;
  readonly inSeries?: InSeries | undefined;
  /** The text of qubes.xml, authenticated, at most 16 MiB. Call once, before `files`. */
  qubesXml(): Promise<string>;
  /**
   * The files that `wanted` selects, in the archive's order. Others are skipped; on a seekable input they are not even
   * read. A file that the consumer does not read is skipped, too.
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
