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

/** The backup that data is kept for. */
export interface KeptFor {
  readonly storage: Storage;
  readonly directory: string;
  /** The file of the backup itself. */
  readonly own: Sink;
  readonly series: SeriesBackup;
  readonly store: SeriesStore;
  /** When the backup was begun. */
  readonly created: Date;
  readonly limits: DataLimits;
  /** Aborted later than the backup itself, so that the file in progress can be completed. */
  readonly signal: AbortSignal;
  /** Called before the file in progress is completed although the backup has failed. */
  readonly onKeep: () => void;
  /** Wraps a sink to count what is written to it. */
  readonly counted: (sink: Sink) => ByteSink;
  /** Called when a file was stored, but cannot be noted. */
  readonly onUnnoted: (error: unknown) => void;
}

/** A file of the kind data as it was stored. */
export interface KeptFile {
  readonly file: SeriesFile;
  readonly stored: StoredArchive;
}

/**
 * Keeps what a backup has stored even if the backup is interrupted: in files of the kind data, each of which is noted
 * as soon as it is stored under its final name. The next backup continues from there.
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

  /** The series, with the files noted so far. */
  get series(): SeriesBackup {
    return { ...this.#for.series, state: this.#state };
  }

  /** The size of all files together. */
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

  /**
   * A file that cannot be noted is not lost: the next backup finds it, since it looks at new files in the directory.
   */
  async #note(written: WrittenData, fileName: string, stored: StoredArchive): Promise<void> {
    const { store, created, onUnnoted } = this.#for;
    const { bytes } = stored;
    const made = { fileName, bytes, made: created, check: undefined };
    const { state, file } = await noteDataInSeries(store, this.series, written, made, onUnnoted);
    this.#state = state;
    this.files.push({ file, stored });
  }
}
