import { decompress } from '../compress/compression.ts';
import { LARGEST_MANIFEST, type ManifestForm } from '../parts/manifest.ts';
import {
  type OpenPart,
  type OpenedPart,
  type PartFormat,
  joinParts,
} from '../parts/part-format.ts';
import { DamagedPartError, type PartName } from '../parts/part-name.ts';
import { prefetch } from '../parts/prefetch.ts';
import type { Coffer1Header } from './coffer1-header.ts';
import { type ArchiveKey, MAC_LENGTH, openMember } from './seal-member.ts';

export const MANIFEST: ManifestForm = {
  path: 'manifest',
  firstLine: 'coffer-1 manifest',
  macLength: MAC_LENGTH,
  listsFiles: true,
};

/** The parts of a coffer-1 archive whose header has been authenticated. */
export class Coffer1Format implements PartFormat {
  readonly naming = 'hmac';
  readonly partSize: number;
  readonly beginning = 0;
  /** While one part is decrypted, the next one is authenticated or read. */
  readonly memory: number;
  readonly readAhead = 1;
  readonly #key: ArchiveKey;
  readonly #compressionFilter: string | undefined;
  readonly #signal: AbortSignal;

  constructor(
    { partSize, compressionFilter }: Coffer1Header,
    key: ArchiveKey,
    signal: AbortSignal,
  ) {
    this.partSize = partSize;
    this.memory = 2 * partSize;
    this.#key = key;
    this.#compressionFilter = compressionFilter;
    this.#signal = signal;
  }

  /** The manifest is one part, whatever its size. */
  largestPart(path: string): number {
    return path === MANIFEST.path ? LARGEST_MANIFEST : this.partSize;
  }

  untrustedMacIn(untrustedBytes: Buffer, part: PartName): string {
    const untrustedMac = parseMac(untrustedBytes);
    if (untrustedMac !== undefined) return untrustedMac;
    throw new DamagedPartError(part, `${part.name} in the backup has no valid authentication code`);
  }

  opener({ name }: PartName): OpenPart {
    return (untrustedBytes, untrustedMac) =>
      openMember(this.#key, name, untrustedBytes, untrustedMac);
  }

  innerTar(parts: AsyncIterable<OpenedPart>): AsyncIterable<Buffer> {
    return decompress(this.#compressionFilter, prefetch(joinParts(parts)), this.#signal);
  }
}

/** The MAC in a member `.hmac`, in hex; undefined if it does not have the form of a MAC. */
export function parseMac(untrustedBytes: Buffer): string | undefined {
  const untrustedText = untrustedBytes.toString('latin1');
  return /^[0-9a-f]{128}\n$/.test(untrustedText) ? untrustedText.slice(0, -1) : undefined;
}
