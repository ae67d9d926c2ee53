import type { ByteSink, ByteSource } from '../shared/byte-streams.ts';

/** A new file, or a command, that takes a stream. All errors are StorageFailures. */
export interface LocalSink extends ByteSink, AsyncDisposable {
  /** The resolved path of the future file; undefined for a command. */
  readonly path: string | undefined;
  /** How many bytes of the stream are safe: synced to disk, or taken by the command. */
  readonly safeBytes: number;
  /** Resolves when the whole stream is stored. Disposing of the sink earlier undoes what it did, if possible. */
  finish(): Promise<void>;
}

/** A file, or a command, that gives a stream. If anything is wrong with it, reading throws a StorageFailure. */
export interface LocalSource extends ByteSource, AsyncDisposable {
  /** The resolved path of the file; undefined for a command. */
  readonly path: string | undefined;
}
