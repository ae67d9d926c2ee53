import type { ByteSink } from '../../shared/byte-streams.ts';
import type {
  DataLimits,
  DataOutput,
  DataTarget,
  WrittenData,
} from '../archive/coffer1/data-files.ts';
import type { Sink, Storage, StoredArchive } from '../transport/storage.ts';
import { openNewFile } from './new-backup-file.ts';
import { type SeriesBackup, noteDataInSeries } from './series-backup.ts';
import type { SeriesFile, SeriesState } from './series-state.ts';
import type { SeriesStore } from './series-store.ts';

/** What keeping data needs of a backup. */
export interface KeptFor {
  readonly storage: Storage;
  readonly directory: string;
  /** Of the backup itself. */
  readonly own: Sink;
  readonly series: SeriesBackup;
  readonly store: SeriesStore;
  /** When the backup was begun. */
  readonly created: Date;
  readonly limits: DataLimits;
  /** Ends later than the backup: until then, what is being stored is completed. */
  readonly signal: AbortSignal;
  /** Called before the file in work is closed although the backup has failed. */
  readonly onKeep: () => void;
  /** What is to be written to instead of a sink. */
  readonly counted: (sink: Sink) => ByteSink;
  readonly onUnnoted: (error: unknown) => void;
}

/** A file of the kind data as it was stored. */
export interface KeptFile {
  readonly file: SeriesFile;
  readonly stored: StoredArchive;
}

/**
 * Keeps what a backup has stored, if it should be interrupted: in files of the kind data, each of which is noted as soon as it
 * is safe under its name. The next backup goes on from there.
 */
export class KeptData implements DataTarget {
  readonly files: KeptFile[] = [];
  readonly limits: DataLimits;
  readonly largestFile: number;
  readonly signal: AbortSignal;
  readonly #for: KeptFor;
  #state: SeriesState | undefined;

  constructor(keptFor: KeptFor) {
    this.#for = keptFor;
    this.#state = keptFor.series.state;
    this.limits = keptFor.limits;
    this.largestFile = keptFor.own.space.largestFile ?? Infinity;
    this.signal = keptFor.signal;
  }

  /** The series with what was noted. */
  get series(): SeriesBackup {
    return { ...this.#for.series, state: this.#state };
  }

  /** Of all files. */
  get bytes(): number {
    return this.files.reduce((sum, { stored }) => sum + stored.bytes, 0);
  }

  async open(): Promise<DataOutput> {
    const { storage, directory, counted } = this.#for;
    const now = new Date();
    const begun = await openNewFile(storage, directory, 'data', now, undefined, this.signal);
    const { sink, fileName } = begun;
    const output = counted(sink);
    return {
      write: (bytes) => output.write(bytes),
      finish: async (written) => this.#note(written, fileName, await sink.finish()),
      [Symbol.asyncDispose]: () => sink[Symbol.asyncDispose](),
    };
  }

  onKeep(): void {
    this.#for.onKeep();
  }

  async requireOwn(): Promise<void> {
    await this.#for.own.requireOpen();
  }

  /** A file that cannot be noted is found by the next backup: what is new in the directory is looked at. */
  async #note(written: WrittenData, fileName: string, stored: StoredArchive): Promise<void> {
    const { store, created, onUnnoted } = this.#for;
    const { bytes } = stored;
    const made = { fileName, bytes, made: created, check: undefined };
    const { state, file } = await noteDataInSeries(store, this.series, written, made, onUnnoted);
    this.#state = state;
    this.files.push({ file, stored });
  }
}
