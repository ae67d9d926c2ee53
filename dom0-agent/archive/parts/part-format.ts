import { MiB } from '../../../shared/sizes.ts';
import type { PartName } from './part-name.ts';

/** Official tools cut every 100 MiB, and encryption adds some bytes. */
export const LARGEST_OFFICIAL_PART = 128 * MiB;
/** For two such parts. */
export const OFFICIAL_MEMORY = 2 * LARGEST_OFFICIAL_PART;

/**
 * Authenticates a part, then gives its plaintext, slice by slice. Throws DamagedError, which names the part,
 * before giving anything.
 */
export type OpenPart = (untrustedBytes: Buffer, untrustedMac: string) => Promise<Iterable<Buffer>>;

/** A part whose bytes have been authenticated. To be read to the end, or returned, before the next one. */
export interface OpenedPart {
  readonly name: string;
  readonly plaintext: Iterable<Buffer>;
}

/** What a format defines about parts: how they are stored in the outer tar, and how a file is reassembled. */
export interface PartFormat {
  /** `hmac`: the member of each part is followed by `<part>.hmac`. `enc`: the part's member is `<part>.enc`. */
  readonly naming: 'hmac' | 'enc';
  /** The size in bytes of every part of a file but its last, if the format defines it. */
  readonly partSize?: number;
  /** How many bytes of a part `opener` gets. */
  readonly beginning: number;
  /** The most bytes of parts in memory, and the most parts that are read ahead. */
  readonly memory: number;
  readonly readAhead: number;
  /** The largest part of a file, in bytes. */
  largestPart(path: string): number;
  /**
   * The MAC in the member `.hmac` or, with `enc`, in the part itself. Throws DamagedError if it is not one, unless
   * opening the part does.
   */
  untrustedMacIn(untrustedBytes: Buffer, part: PartName): string;
  /** Starts what is needed to open the part, such as deriving its key, before there is memory for all of it. */
  opener(part: PartName, untrustedBeginning: Buffer, signal: AbortSignal): OpenPart;
  /** The inner tar of a file: its parts concatenated and decompressed. */
  innerTar(parts: AsyncIterable<OpenedPart>, path: string): AsyncIterable<Buffer>;
}

/** The concatenated plaintext of a file's parts. */
export async function* joinParts(
  parts: AsyncIterable<OpenedPart>,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { plaintext } of parts) yield* plaintext;
}
