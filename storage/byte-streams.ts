/** Takes a stream. Disposing of it before `finish` has resolved undoes what it did, if it can. */
export interface ByteTarget extends AsyncDisposable {
  /** The resolved path of the file that will be there; undefined for a command. */
  readonly path: string | undefined;
  /** So much of the stream is safe: synced to the disk, or taken by the command. */
  readonly safeBytes: number;
  /** Resolves when the bytes are taken. Throws StorageProblem. */
  write(bytes: Buffer): Promise<void>;
  /** Resolves when the whole stream is stored. Throws StorageProblem. */
  finish(): Promise<void>;
}

/** Gives a stream. */
export interface ByteSource extends AsyncDisposable {
  /** The resolved path of the file; undefined for a command. */
  readonly path: string | undefined;
  /** In bytes, where it is known: then the source is seekable. */
  readonly size: number | undefined;
  /**
   * The next bytes, at least one and at most `most`; undefined at the end, which is there only when
   * the source as a whole was good. Throws StorageProblem.
   */
  next(most: number): Promise<Buffer | undefined>;
  /** Goes on from an offset. Only where `size` is known. */
  seek(offset: number): void;
}
