import type { ByteSink } from '../../../shared/byte-streams.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import { mostStored } from './coffer1-header.ts';
import type { PartPlace } from './known-chunks.ts';
import { lengthInTar } from './manifest.ts';
import { MemberWriter } from './member-writer.ts';
import {
  type PartsFileOptions,
  type WrittenParts,
  beginPartsFile,
  compressorFor,
  endPartsFile,
} from './parts-file.ts';
import { PartsTable } from './parts-table.ts';
import { newId } from './series.ts';
import type { PlaceInSeries, WrittenPart } from './written-so-far.ts';

/** A file gets no more parts once one of these limits is reached. */
export interface FillLimit {
  /** As stored. */
  readonly bytes: number;
  /** Since its first part. */
  readonly milliseconds: number;
}

/** When a backup begins to store parts ahead, in files of the kind data. */
export interface DataLimits {
  /** Of the backup's own file, whose content is lost when the backup is interrupted. */
  readonly own: FillLimit;
  /** Of each file of the kind data. */
  readonly data: FillLimit;
  /** When the backup is interrupted, the current file is only kept if it has this many bytes. */
  readonly least: number;
}

/** Where a backup stores parts ahead, in files of the kind data. */
export interface DataTarget {
  readonly limits: DataLimits;
  /** The size in bytes of the largest file that can be stored there. */
  readonly largestFile: number;
  /** For finishing a file, which is also done after the backup was interrupted. */
  readonly signal: AbortSignal;
  /** Opens the next file. */
  open(): Promise<DataOutput>;
  /** Called before the current file is finished although the backup has failed. */
  onKeep(): void;
  /** Throws if the backup's own file, to which nothing is written meanwhile, can no longer be completed. */
  requireOwn(): Promise<void>;
}

/** A new file of the kind data. Unless it was finished, disposing of it leaves nothing of it. */
export interface DataOutput extends ByteSink, AsyncDisposable {
  /** Resolves when it is safe under its final name. */
  finish(written: WrittenData): Promise<void>;
}

/** What the next file of the series needs to know about a file of the kind data. */
export interface WrittenData extends WrittenParts {
  readonly sequence: number;
  readonly grain: number;
}

/** A part of a volume as it is stored. */
export interface SealedPart {
  readonly name: string;
  readonly bytes: Buffer;
  readonly mac: string;
  readonly part: WrittenPart;
}

/** An estimate of what a file has besides its parts, in bytes: the manifest and the like, … */
const BESIDE = MiB;
/** … and, for each part, its line in the table, and its ids. */
const BESIDE_PART = KiB;

/**
 * Distributes the parts of a backup: the first ones go to its own file, later ones to files of the kind data, one after
 * the other. Each of these is complete in itself, so that an interrupted backup leaves them for the next one.
 */
export class DataFiles implements AsyncDisposable {
  readonly #options: PartsFileOptions;
  readonly #target: DataTarget | undefined;
  readonly #own: FillLevel;
  /** Of the file that the next part goes into. */
  #filling: FillLevel;
  /** The file of the kind data that is being written. */
  #file: DataFile | undefined;
  /** Whether no write to it has failed. */
  #isSound = true;
  #next: PlaceInSeries;

  /** @param target undefined: all parts are in the backup's own file */
  constructor(options: PartsFileOptions, target: DataTarget | undefined) {
    this.#options = options;
    this.#target = target;
    this.#own = new FillLevel(options.backupId, options, target?.limits.own, target);
    this.#filling = this.#own;
    this.#next = { sequence: options.sequence, previous: options.previous };
  }

  /** The place in the series of the next file. */
  get next(): PlaceInSeries {
    return this.#next;
  }

  /** Assigns a place to the next part. Parts of the same file are made, and stored, in this order. */
  nextPlace(): PartPlace {
    if (this.#filling.isFull) {
      const limits = this.#target?.limits.data;
      this.#filling = new FillLevel(newId(), this.#options, limits, this.#target);
    }
    return this.#filling.nextPlace();
  }

  /** Whether a part goes into the backup's own file. */
  isOwn({ place }: Pick<WrittenPart, 'place'>): boolean {
    return place.backupId === this.#own.backupId;
  }

  /** To be called when a part of `bytes` bytes has been stored in the backup's own file. */
  noteOwn(bytes: number): void {
    this.#own.stored(bytes);
  }

  /** Stores a part that goes into a file of the kind data. */
  async store(sealed: SealedPart): Promise<void> {
    await this.#target?.requireOwn();
    this.#isSound = false;
    const { backupId } = sealed.part.place;
    if (this.#file?.backupId !== backupId) {
      await this.#end();
      this.#file = await this.#begin(backupId);
    }
    await this.#file.store(sealed);
    if (this.#filling.backupId === backupId) this.#filling.stored(sealed.bytes.length);
    this.#isSound = true;
  }

  /** To be called after the last part: finishes the current file. */
  async close(): Promise<void> {
    this.#isSound = false;
    await this.#end();
  }

  /** To be called when the backup has failed: finishes the current file, if that is possible and worth it. */
  async keep(): Promise<void> {
    const isWorthIt = (this.#file?.bytes ?? 0) >= (this.#target?.limits.least ?? Infinity);
    if (!this.#isSound || !isWorthIt) return;
    this.#target?.onKeep();
    // If this fails, nothing is kept; the error to report is the one with which the backup has failed.
    await Promise.allSettled([this.#end()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.output[Symbol.asyncDispose]();
  }

  async #begin(backupId: string): Promise<DataFile> {
    if (this.#target === undefined) throw new RangeError('a part goes nowhere');
    const file = new DataFile(await this.#target.open(), { ...this.#options, backupId });
    // Set before anything can fail, so that it is disposed of.
    this.#file = file;
    await file.begin();
    return file;
  }

  async #end(): Promise<void> {
    const file = this.#file;
    if (file === undefined || this.#target === undefined) return;
    const written = await file.end(this.#next, this.#target.signal);
    await file.output.finish(written);
    await file.output[Symbol.asyncDispose]();
    this.#file = undefined;
    this.#next = { sequence: this.#next.sequence + 1, previous: written.name };
  }
}

/** How full a file is. Most of its parts are still being made, and their sizes are not known yet. */
class FillLevel {
  readonly backupId: string;
  readonly #most: FillLimit;
  readonly #mostOfPart: number;
  #begunAt = 0;
  #begun = 0;
  #stored = 0;
  #bytes = 0;

  constructor(
    backupId: string,
    { cut }: Pick<PartsFileOptions, 'cut'>,
    { bytes, milliseconds }: FillLimit = { bytes: Infinity, milliseconds: Infinity },
    { largestFile }: Pick<DataTarget, 'largestFile'> = { largestFile: Infinity },
  ) {
    this.backupId = backupId;
    this.#most = { bytes: Math.min(bytes, largestFile - BESIDE), milliseconds };
    this.#mostOfPart = lengthInTar(mostStored(cut)) + BESIDE_PART;
  }

  /** Whether no other part may go into the file. Each file gets at least one. */
  get isFull(): boolean {
    const unstored = (this.#begun - this.#stored + 1) * this.#mostOfPart;
    const isLate = performance.now() - this.#begunAt > this.#most.milliseconds;
    return this.#begun > 0 && (isLate || this.#bytes + unstored > this.#most.bytes);
  }

  nextPlace(): PartPlace {
    if (this.#begun === 0) this.#begunAt = performance.now();
    return { backupId: this.backupId, part: this.#begun++ };
  }

  stored(bytes: number): void {
    this.#stored++;
    this.#bytes += lengthInTar(bytes) + BESIDE_PART;
  }
}

/** A file of the kind data that is being written. */
class DataFile {
  readonly output: DataOutput;
  /** The stored size of its parts so far. */
  bytes = 0;
  readonly #options: Omit<PartsFileOptions, keyof PlaceInSeries>;
  readonly #writer: MemberWriter;
  readonly #table = new PartsTable();
  readonly #ids: Buffer[] = [];

  constructor(output: DataOutput, options: Omit<PartsFileOptions, keyof PlaceInSeries>) {
    const { series, backupId, encrypted } = options;
    this.output = output;
    this.#options = options;
    this.#writer = new MemberWriter(output, { root: series.key, backupId, encrypted });
  }

  get backupId(): string {
    return this.#options.backupId;
  }

  async begin(): Promise<void> {
    await beginPartsFile(this.#writer, 'data', this.#options);
  }

  async store({ name, bytes, mac, part: { volume, ids } }: SealedPart): Promise<void> {
    await this.#writer.sealedPart(name, bytes, mac);
    this.bytes += bytes.length;
    this.#ids.push(Buffer.concat(ids));
    const { domain } = volume.content;
    this.#table.add({ size: bytes.length, chunks: ids.length, domain });
  }

  async end(place: PlaceInSeries, signal: AbortSignal): Promise<WrittenData> {
    const options = { ...this.#options, ...place };
    await using compressor = compressorFor(options, signal);
    const content = { table: this.#table, ids: this.#ids };
    const written = await endPartsFile(this.#writer, content, options, compressor);
    return { ...written, sequence: place.sequence, grain: options.cut.grain };
  }
}
