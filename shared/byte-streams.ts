/** A source of bytes: a file, a command, the storage behind a channel. */
export interface ByteSource {
  /** In bytes, if it is known. From a storage VM untrusted: good for seeking and for a progress bar. */
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

/** A directory of files that are opened by name, and of which ranges are read. */
export interface OpenedDirectory {
  /** The same file each time, with the size that it has at first. Its name is one plain component. */
  open(untrustedName: string): Promise<OpenedFile>;
  /**
   * The bytes of all ranges, one behind the other, in chunks of any length. What comes next is asked for early, but no
   * more than some MiB. Many can be read at a time, and each can be left.
   */
  read(ranges: Iterable<FileRange>): AsyncIterable<Buffer>;
}

/** A destination for bytes. */
export interface ByteSink {
  /** Resolves when the bytes have been taken and the buffer may be reused: this is the back-pressure. */
  write(bytes: Buffer): Promise<void>;
}
