import type { ByteSink, ByteSource } from '../shared/byte-streams.ts';

/** A new file, or a command, that takes a stream. All it throws is a StorageFailure. */
export interface LocalSink extends ByteSink, AsyncDisposable {
  /** The resolved path of the file that will be there; undefined for a command. */
  readonly path: string | undefined;
  /** So much of the stream is safe: synced to the disk, or taken by the command. */
  readonly safeBytes: number;
  /** Resolves when the whole stream is stored. Disposing of the sink before undoes what it did, if it can. */
  finish(): Promise<void>;
}

/** A file, or a command, that gives a stream. It ends only when all of it was good; or it throws a StorageFailure. */
export interface LocalSource extends ByteSource, AsyncDisposable {
  /** The resolved path of the file; undefined for a command. */
  readonly path: string | undefined;
}
