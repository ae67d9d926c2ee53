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

/** How long parts go into a file: until one of these is reached. */
export interface Filling {
  /** As stored. */
  readonly bytes: number;
  /** Since its first part. */
  readonly milliseconds: number;
}

/** When a backup stores parts ahead of itself. */
export interface DataLimits {
  /** Its own file: what that holds is lost when it is interrupted. */
  readonly own: Filling;
  /** Each file of the kind data. */
  readonly data: Filling;
  /** So many bytes are worth a file when the backup is interrupted. */
  readonly least: number;
}

/** Where a backup stores parts ahead of itself. */
export interface DataTarget {
  readonly limits: DataLimits;
  /** Bytes of the largest file that can be stored there. */
  readonly largestFile: number;
  /** For what is done after the backup was interrupted: closing the file in work. */
  readonly signal: AbortSignal;
  /** Opens the next file. */
  open(): Promise<DataOutput>;
  /** Called before the file in work is closed although the backup has failed. */
  onKeep(): void;
  /** Throws when the backup's own file, of which nothing is written meanwhile, cannot be completed any more. */
  requireOwn(): Promise<void>;
}

/** A file of the kind data on its way; disposed of, nothing remains of it unless it is finished. */
export interface DataOutput extends ByteSink, AsyncDisposable {
  /** Resolves when it is safe under its name. */
  finish(written: WrittenData): Promise<void>;
}

/** A file of the kind data, as the next one of its series needs to know it. */
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

/** What lies beside the parts in a file: the manifest, and some bytes for each part in the table, and its ids. */
const BESIDE = MiB;
const BESIDE_PART = KiB;

/**
 * Deals the parts of a backup out: the first ones to its own file, what comes after some time to files of the kind data, one
 * after the other. Each is whole by itself, so that a backup that is interrupted leaves them for the next one.
 */
export class DataFiles implements AsyncDisposable {
  readonly #options: PartsFileOptions;
  readonly #target: DataTarget | undefined;
  readonly #own: FileInFilling;
  /** Where the next part goes. */
  #filling: FileInFilling;
  #file: FileInWork | undefined;
  /** Nothing that was written to it has failed. */
  #isSound = true;
  #next: PlaceInSeries;

  /** @param target undefined: all parts are in the backup's own file */
  constructor(options: PartsFileOptions, target: DataTarget | undefined) {
    this.#options = options;
    this.#target = target;
    this.#own = new FileInFilling(options.backupId, options, target?.limits.own, target);
    this.#filling = this.#own;
    this.#next = { sequence: options.sequence, previous: options.previous };
  }

  /** Which file of its series the next one is. */
  get next(): PlaceInSeries {
    return this.#next;
  }

  /** Where the part goes that is made next: those in the same file are made, and stored, one after the other. */
  nextPlace(): PartPlace {
    if (this.#filling.isFull) {
      const limits = this.#target?.limits.data;
      this.#filling = new FileInFilling(newId(), this.#options, limits, this.#target);
    }
    return this.#filling.nextPlace();
  }

  /** Whether a part goes into the backup's own file. */
  isOwn({ place }: Pick<WrittenPart, 'place'>): boolean {
    return place.backupId === this.#own.backupId;
  }

  /** A part was stored in the backup's own file. */
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

  /** There are no more parts. */
  async close(): Promise<void> {
    this.#isSound = false;
    await this.#end();
  }

  /** The backup is interrupted: closes the file in work, if that is possible and worth it. */
  async keep(): Promise<void> {
    const isWorthIt = (this.#file?.bytes ?? 0) >= (this.#target?.limits.least ?? Infinity);
    if (!this.#isSound || !isWorthIt) return;
    this.#target?.onKeep();
    // What fails now was not kept: the backup has failed for another reason.
    await Promise.allSettled([this.#end()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.output[Symbol.asyncDispose]();
  }

  async #begin(backupId: string): Promise<FileInWork> {
    if (this.#target === undefined) throw new RangeError('a part goes nowhere');
    const file = new FileInWork(await this.#target.open(), { ...this.#options, backupId });
    // Known from now on, so that it is disposed of.
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

/** A file that the next parts go into: most of them are on their way, and their sizes not known yet. */
class FileInFilling {
  readonly backupId: string;
  readonly #most: Filling;
  readonly #mostOfPart: number;
  #begunAt = 0;
  #begun = 0;
  #stored = 0;
  #bytes = 0;

  constructor(
    backupId: string,
    { cut }: Pick<PartsFileOptions, 'cut'>,
    { bytes, milliseconds }: Filling = { bytes: Infinity, milliseconds: Infinity },
    { largestFile }: Pick<DataTarget, 'largestFile'> = { largestFile: Infinity },
  ) {
    this.backupId = backupId;
    this.#most = { bytes: Math.min(bytes, largestFile - BESIDE), milliseconds };
    this.#mostOfPart = lengthInTar(mostStored(cut)) + BESIDE_PART;
  }

  /** At least one part goes into each. */
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

/** A file of the kind data that parts are stored in. */
class FileInWork {
  readonly output: DataOutput;
  /** Of the parts in it, as stored. */
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
