import { MiB } from '../../../shared/sizes.ts';
import type { PartName } from '../parts/part-name.ts';

/** In bytes. The official tools cut every 100 MiB, and encryption adds some bytes. */
export const LARGEST_OFFICIAL_PART = 128 * MiB;
/** For two such parts. */
export const OFFICIAL_MEMORY = 2 * LARGEST_OFFICIAL_PART;

/**
 * Authenticates a part, then returns its plaintext in slices. Throws DamagedError, which names the part, before it
 * returns anything.
 */
export type OpenPart = (untrustedBytes: Buffer, untrustedMac: string) => Promise<Iterable<Buffer>>;

/** A part whose bytes have been authenticated. To be read to the end, or returned, before the next one. */
export interface AuthenticPart {
  readonly name: string;
  readonly plaintext: Iterable<Buffer>;
}

/** What each of the official formats defines: how parts are stored in the outer tar, and how a file is reassembled. */
export interface OfficialFormat {
  /** `hmac`: the member of each part is followed by `<part>.hmac`. `enc`: the part's member is `<part>.enc`. */
  readonly naming: 'hmac' | 'enc';
  /** How many bytes of a part `opener` gets. */
  readonly beginning: number;
  /** The most parts that are read ahead. */
  readonly readAhead: number;
  /**
   * The MAC in the member `.hmac` or, with `enc`, in the part itself. Throws DamagedError if it is not one, unless
   * opening the part does.
   */
  untrustedMacIn(untrustedBytes: Buffer, part: PartName): string;
  /** Starts what is needed to open the part, such as deriving its key, before there is memory for all of it. */
  opener(part: PartName, untrustedBeginning: Buffer, signal: AbortSignal): OpenPart;
  /** The inner tar of a file: its parts concatenated and decompressed. */
  innerTar(parts: AsyncIterable<AuthenticPart>, path: string): AsyncIterable<Buffer>;
}

/** The largest list of all members, in bytes: about 170 for each member, so more than any backup needs. */
export const LARGEST_LIST = 64 * MiB;

/** The members that were read, to be compared with a list of them at the end of the archive. */
export interface ReadMembers {
  /** The path of the list, the last file. */
  readonly listPath: string;
  /** The next member that is not of the list. Throws DamagedError when no list could have so many. */
  note(member: ReadMember): void;
  /** Throws DamagedError, which names the difference, when the authenticated list does not have the same members. */
  compareWith(list: Buffer): void;
}

/** A member of the outer tar that was read or skipped. */
export interface ReadMember {
  readonly name: string;
  /** Bytes as stored. */
  readonly size: number;
  /** In hex. Undefined if it is not known, because it is in a part that was skipped. */
  readonly mac: string | undefined;
}

/** The concatenated plaintext of a file's parts. */
export async function* joinParts(
  parts: AsyncIterable<AuthenticPart>,
): AsyncGenerator<Buffer, void, undefined> {
  for await (const { plaintext } of parts) yield* plaintext;
}
