import { DamagedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import { readSmallFile } from '../tar/read-small-file.ts';
import { isTrue } from './qubes4-header.ts';

/**
 * The last file of a format 4 archive that coffer wrote. No VM has that directory, so that the official
 * tools pass over it. The header, which is authenticated, tells of it by the key of the same name: it
 * cannot be taken away unnoticed. Official tools ignore keys that they do not know.
 */
export const MANIFEST_PATH = 'coffer-manifest';
/** Some 120 bytes for each member: more than any backup has. */
export const LARGEST_MANIFEST = 64 * MiB;
const LONGEST_LINE_BESIDE_NAME = 96;

/** A member of the archive behind the header, as the manifest tells of it. */
export interface ManifestMember {
  /** `vm5/private.img.000.enc` */
  readonly name: string;
  /** Bytes as stored. */
  readonly size: number;
  /** HMAC-SHA256 in hex: the last 32 bytes of the member, which is a file of the scrypt utility. */
  readonly mac: string;
}

/** The text of the manifest: a line for each member, in their order, and the totals. */
export function formatManifest(members: readonly ManifestMember[]): string {
  const total = members.reduce((sum, { size }) => sum + size, 0);
  return [
    'coffer-manifest 1',
    ...members.map(({ name, size, mac }) => `member ${name} ${size} ${mac}`),
    `total ${members.length} ${total}`,
    '',
  ].join('\n');
}

/** Whether the header, which is authenticated, tells of a manifest. Throws DamagedError. */
export function hasManifest(fields: ReadonlyMap<string, string>): boolean {
  return fields.has(MANIFEST_PATH) && isTrue(fields, MANIFEST_PATH);
}

/** The text of the manifest, from its inner tar. Throws DamagedError. */
export async function readManifest(innerTar: AsyncIterable<Buffer>): Promise<string> {
  return (await readSmallFile(innerTar, MANIFEST_PATH, LARGEST_MANIFEST)).toString('latin1');
}

/** The members that an authenticated manifest lists. Throws DamagedError. */
export function parseManifest(text: string): ManifestMember[] {
  const members = text.split('\n').flatMap((line): ManifestMember[] => {
    const match = /^member (\S+) (0|[1-9][0-9]{0,9}) ([0-9a-f]{64})$/.exec(line);
    if (match?.[1] === undefined || match[3] === undefined) return [];
    return [{ name: match[1], size: Number(match[2]), mac: match[3] }];
  });
  if (formatManifest(members) === text) return members;
  throw new DamagedError('the manifest of the backup is not sound, though authentic');
}

/**
 * Holds what is read of an archive against its manifest. Of a part that is passed over, name and size
 * are known; of one that is read, the MAC as well.
 */
export class ManifestCheck {
  readonly #sizes = new Map<string, number>();
  readonly #macs = new Map<string, string>();
  #length = 0;
  #isOver = false;

  /**
   * A part of the archive, in its turn.
   *
   * @param name path and number, without `.enc`
   * @throws DamagedError when there are more than a manifest can list, or it stands behind the manifest
   */
  note(path: string, name: string, size: number): void {
    if (path === MANIFEST_PATH) {
      this.#isOver = true;
      return;
    }
    if (this.#isOver) throw new DamagedError(`the backup holds ${name} behind its manifest`);
    this.#length += name.length + LONGEST_LINE_BESIDE_NAME;
    if (this.#length > LARGEST_MANIFEST) throw new DamagedError('the backup holds too many parts');
    this.#sizes.set(`${name}.enc`, size);
  }

  /** The bytes of a part that is about to be opened, which checks their MAC. */
  noteBytes(name: string, untrustedBytes: Buffer): void {
    this.#macs.set(`${name}.enc`, untrustedBytes.subarray(-32).toString('hex'));
  }

  /** At the archive's end. Throws DamagedError, naming the first member that is not as it should be. */
  check(manifest: string | undefined): void {
    if (manifest === undefined) {
      throw new DamagedError('the backup is incomplete: the manifest at its end is missing');
    }
    const members = parseManifest(manifest);
    for (const { name, size, mac } of members) {
      if (this.#sizes.get(name) !== size || (this.#macs.get(name) ?? mac) !== mac) {
        throw new DamagedError(`the backup is incomplete: ${name} is missing or changed`);
      }
    }
    const names = [...this.#sizes.keys()];
    const misplaced = names.find((name, position) => members[position]?.name !== name);
    if (misplaced === undefined) return;
    throw new DamagedError(`the backup holds ${misplaced} where it does not belong`);
  }
}
