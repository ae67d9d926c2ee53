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

/** A destination for bytes. */
export interface ByteSink {
  /** Resolves when the bytes have been taken and the buffer may be reused: this is the back-pressure. */
  write(bytes: Buffer): Promise<void>;
}
