import { MiB } from '../../shared/sizes.ts';
import type { NamedDirectories } from './parts/stored-bounds.ts';

/** The file, the first of every archive, that tells of the VMs in it and their settings. */
export const QUBES_XML = 'qubes.xml';
/**
 * The file of a VM's directory that tells why the VM is not whole in the backup: it was started while it was read,
 * say. What else is there of it is of no use. In coffer-1 only; it comes after the VM's volumes.
 */
export const INCOMPLETE = 'incomplete.txt';
export const LARGEST_QUBES_XML = 16 * MiB;

/** The formats that coffer reads. It writes `coffer-1` and `qubes-4`. */
export type ArchiveFormat = 'coffer-1' | 'qubes-4' | 'qubes-3' | 'qubes-2';

/** What the header of every format tells. Trustworthy once the header has been authenticated. */
export interface Header {
  readonly format: ArchiveFormat;
  readonly backupId: string | undefined;
  readonly encrypted: boolean;
  /** The program that decompresses (`<filter> -d`), or undefined when nothing is compressed. */
  readonly compressionFilter: string | undefined;
}

/**
 * One file of an archive: a volume, firewall.xml, dom0's home … as the inner tar that holds it.
 */
export interface ArchivedFile {
  /** As in the archive, without the part number: `vm5/private.img`, `dom0-home/home`. Checked:
   *  relative, no empty, `.` or `..` component but for the `.` of format 2's whole directories. */
  readonly path: string;
  /** The inner tar: authenticated, decrypted and decompressed, in chunks of any length. Throws
   *  DamagedError at the first byte that cannot be vouched for. Must be read to its end or returned. */
  readonly innerTar: AsyncIterable<Buffer>;
}

/**
 * An archive whose header has been verified under the passphrase. One pass over its files; when
 * the iteration of `files` ends without an error, everything that the format lets one check
 * (for coffer-1: the manifest) has been found complete.
 */
export interface ArchiveReader {
  readonly header: Header;
  /** The text of qubes.xml, authenticated, at most 16 MiB. Call once, before `files`. */
  qubesXml(): Promise<string>;
  /**
   * The files that `wanted` chooses, in the archive's order. Others are passed over: on a seekable
   * input they are not even read. A file that is not read by the consumer is skipped.
   *
   * `named` is what qubes.xml tells: a file of another directory, or more than may come of one, is a DamagedError.
   * Without it, a stream may go on without end.
   */
  files(wanted: (path: string) => boolean, named?: NamedDirectories): AsyncIterable<ArchivedFile>;
}

/** A file on its way into an archive. */
export interface FileToArchive {
  /** As `ArchivedFile.path`; at most 90 characters. */
  readonly path: string;
  readonly innerTar: AsyncIterable<Buffer>;
}
