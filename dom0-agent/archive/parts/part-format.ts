import { MiB } from '../../../shared/sizes.ts';
import type { PartName } from './part-name.ts';

/** Official tools cut every 100 MiB, and encryption adds a little. */
export const LARGEST_OFFICIAL_PART = 128 * MiB;
/** For two such parts. */
export const OFFICIAL_MEMORY = 2 * LARGEST_OFFICIAL_PART;

/**
 * Authenticates a part, then gives its plaintext, slice by slice. Throws DamagedError, which names the part, and then
 * gives nothing.
 */
export type OpenPart = (untrustedBytes: Buffer, untrustedMac: string) => Promise<Iterable<Buffer>>;

/** A part whose bytes have been authenticated. To be read to the end, or returned, before the next one. */
export interface OpenedPart {
  readonly name: string;
  readonly plaintext: Iterable<Buffer>;
}

/** What a format knows of its parts: how they lie in the outer tar, and how a file is made of them again. */
export interface PartFormat {
  /** `hmac`: behind the member of each part stands one called `<part>.hmac`. `enc`: the part's is called `<part>.enc`. */
  readonly naming: 'hmac' | 'enc';
  /** How many bytes every part of a file but its last has, if the format tells. */
  readonly partSize?: number;
  /** How many bytes of a part `opener` is given. */
  readonly beginning: number;
  /** How many bytes of parts are in memory, and how many parts are read ahead at most. */
  readonly memory: number;
  readonly readAhead: number;
  /** Bytes; of a file's part. */
  largestPart(path: string): number;
  /**
   * The MAC as it stands in the member `.hmac` or, in format `enc`, in the part itself. Throws DamagedError for what is
   * none, unless opening the part does.
   */
  untrustedMacIn(untrustedBytes: Buffer, part: PartName): string;
  /** Begins what opening the part will take, such as deriving its key, before there is memory for all of it. */
  opener(part: PartName, untrustedBeginning: Buffer, signal: AbortSignal): OpenPart;
  /** The inner tar of a file: its parts put together and decompressed. */
  innerTar(parts: AsyncIterable<OpenedPart>, path: string): AsyncIterable<Buffer>;
}

/** The plaintext of a file's parts, one after the other. */
export async function* joinParts(
  parts: AsyncIterable<OpenedPart>,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { plaintext } of parts) yield* plaintext;
}
