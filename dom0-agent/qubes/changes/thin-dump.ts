import { FailedError } from '../../../shared/errors.ts';
import type { RunForLines } from '../../../shared/run-program.ts';
import type { Mapping, Mappings } from './mapping.ts';

/** The unit of sizes, in bytes. */
const SECTOR = 512;
/** Block sizes that dm-thin allows, in sectors: 64 KiB to 1 GiB, in steps of 64 KiB. */
const SMALLEST_BLOCK = 128;
const LARGEST_BLOCK = 2_097_152;

const RANGE =
  /^ *<range_mapping origin_begin="(\d+)" data_begin="(\d+)" length="(\d+)" time="(\d+)" ?\/>$/;
const SINGLE = /^ *<single_mapping origin_block="(\d+)" data_block="(\d+)" time="(\d+)" ?\/>$/;
const TAG = /^ *<([a-z_]+)((?: [a-z_]+="[^"]*")*) ?\/?>$/;
const ATTRIBUTE = / ([a-z_]+)="([^"]*)"/g;
const END = /^ *<\/(superblock|device)>$/;

/** The state of a pool, according to its metadata. */
export interface ThinPoolState {
  /** Counts all snapshots that have ever been made in the pool. */
  readonly time: number;
  /** Counts the changes that LVM has made. */
  readonly transaction: number;
  /** In bytes. */
  readonly blockSize: number;
}

/** A thin device, according to its pool's metadata. */
export interface ThinDevice {
  readonly id: number;
  readonly mappedBlocks: number;
  /** The pool's transaction and time when the device was created. */
  readonly transaction: number;
  readonly creationTime: number;
}

/**
 * What the metadata of a thin pool says about one device, from `thin_dump` of thin-provisioning-tools or of
 * device-mapper-persistent-data. The output is parsed as it comes, and never held as a whole. Everything throws
 * FailedError for output in an unknown form.
 */
export class ThinDump {
  readonly #lines: AsyncIterable<readonly string[]>;
  #pool: ThinPoolState | undefined;
  #device: ThinDevice | undefined;
  #mapped = 0;
  #ended = false;

  /** @param metadata the device with the metadata, of which a metadata snapshot is held */
  constructor(runForLines: RunForLines, metadata: string, deviceId: number) {
    this.#lines = runForLines('thin_dump', ['--metadata-snap', `--dev-id=${deviceId}`, metadata]);
  }

  /** To be used once the mappings have been read. */
  get pool(): ThinPoolState {
    if (this.#pool === undefined || !this.#ended) throw unknown('no whole superblock');
    return this.#pool;
  }

  /** To be used once the mappings have been read; undefined if there is no such device. */
  get device(): ThinDevice | undefined {
    return this.#device;
  }

  /** The mappings of the device. To be read once, to their end. */
  async *mappings(): Mappings {
    for await (const lines of this.#lines) {
      const batch: Mapping[] = [];
      for (const line of lines) {
        const mapping = this.#mappingIn(line);
        if (mapping !== undefined) batch.push(mapping);
        else this.#take(line);
      }
      yield batch;
    }
    if (!this.#ended) throw unknown('no end');
    if (this.#device !== undefined && this.#mapped !== this.#device.mappedBlocks) {
      throw unknown(`${this.#mapped} blocks instead of ${this.#device.mappedBlocks}`);
    }
  }

  #mappingIn(line: string): Mapping | undefined {
    const range = RANGE.exec(line);
    const [from, place, count, time] =
      range?.slice(1, 5).map(Number) ?? singleIn(line) ?? ([] as undefined[]);
    if (from === undefined || place === undefined || count === undefined || time === undefined) {
      return undefined;
    }
    if (this.#pool === undefined || this.#device === undefined) throw unknown(line);
    const { blockSize } = this.#pool;
    const ends = [(from + count) * blockSize, (place + count) * blockSize, time];
    if (count === 0 || !ends.every((end) => Number.isSafeInteger(end))) throw unknown(line);
    this.#mapped += count;
    const [offset, length] = [from * blockSize, count * blockSize];
    return { offset, length, place: place * blockSize, stamp: time };
  }

  #take(line: string): void {
    if (line.trim() === '') return;
    const ended = END.exec(line)?.[1];
    if (ended !== undefined) {
      this.#ended ||= ended === 'superblock';
      return;
    }
    const [, tag, attributes = ''] = TAG.exec(line) ?? [];
    const values = new Map(
      [...attributes.matchAll(ATTRIBUTE)].map(([, key, value]) => [key, value]),
    );
    const number = (key: string): number => {
      const value = values.get(key) ?? '';
      if (!/^\d{1,15}$/.test(value)) throw unknown(line);
      return Number(value);
    };
    if (tag === 'superblock' && this.#pool === undefined) {
      const sectors = number('data_block_size');
      const isKnown = sectors >= SMALLEST_BLOCK && sectors <= LARGEST_BLOCK;
      if (!isKnown || number('version') > 2) throw unknown(line);
      const blockSize = sectors * SECTOR;
      this.#pool = { time: number('time'), transaction: number('transaction'), blockSize };
    } else if (tag === 'device' && this.#pool !== undefined && this.#device === undefined) {
      this.#device = {
        id: number('dev_id'),
        mappedBlocks: number('mapped_blocks'),
        transaction: number('transaction'),
        creationTime: number('creation_time'),
      };
    } else {
      // For example mappings that several devices share, which are listed elsewhere.
      throw unknown(line);
    }
  }
}

function singleIn(line: string): number[] | undefined {
  const [from, place, time] = SINGLE.exec(line)?.slice(1, 4).map(Number) ?? [];
  if (from === undefined || place === undefined || time === undefined) return undefined;
  return [from, place, 1, time];
}

function unknown(what: string): FailedError {
  return new FailedError(`thin_dump answered in a form that coffer does not know: ${what}`);
}
