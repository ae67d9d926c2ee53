/** The formats that coffer reads. It writes `coffer-1` and `qubes-4`. */
export type ArchiveFormat = 'coffer-1' | 'qubes-4' | 'qubes-3' | 'qubes-2';

/** What the header of every format tells. Trustworthy once the header's MAC was checked. */
export interface Header {
  readonly format: ArchiveFormat;
  readonly backupId: string | undefined;
  readonly encrypted: boolean;
  /** The program that decompresses (`<filter> -d`), or undefined when nothing is compressed. */
  readonly compressionFilter: string | undefined;
}
