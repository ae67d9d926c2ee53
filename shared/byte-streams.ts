/** A source of bytes: a file, a command, the storage behind a channel. */
export interface ByteSource {
  /** In bytes, if known. From a storage VM it is untrusted: good for seeking and for a progress bar. */
  readonly size: number | undefined;
  readonly seekable: boolean;
  /**
   * The bytes from `from` (default 0) up to, not including, `to` (default: the end), in chunks of any length. A
   * source that is not seekable can be read once, in order. One read at a time: the previous one must have ended or
   * been returned.
   */
  read(from?: number, to?: number): AsyncIterable<Buffer>;
}

/** A file of a directory, for reading. */
export interface OpenedFile extends ByteSource {
  readonly size: number;
  readonly seekable: true;
}

/** Bytes of a file from `from` up to, not including, `to`, which is at most its size. */
export interface FileRange {
  readonly file: OpenedFile;
  readonly from: number;
  readonly to: number;
}

/** A directory whose files are opened by name, and read in ranges. */
export interface OpenedDirectory {
  /**
   * Opens a file; its name is one plain component. The same name gives the same file each time, with the size that it
   * had at first.
   */
  open(untrustedName: string): Promise<OpenedFile>;
  /**
   * The bytes of all ranges, one after the other, in chunks of any length. What comes next may be requested early, up
   * to a bounded amount. Several reads may run at the same time, and each may be abandoned.
   */
  read(ranges: Iterable<FileRange>): AsyncIterable<Buffer>;
}

/** A destination for bytes. */
export interface ByteSink {
  /** Resolves when the bytes have been taken and the buffer may be reused: this is the back-pressure. */
  write(bytes: Buffer): Promise<void>;
}
