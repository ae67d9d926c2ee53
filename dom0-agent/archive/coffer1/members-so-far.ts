import { DamagedError } from '../../../shared/errors.ts';
import { KiB } from '../../../shared/sizes.ts';
import { parsePartName } from '../parts/part-names.ts';
import {
  FIRST_LINE,
  LARGEST_MANIFEST,
  MANIFEST_PATH,
  type ManifestMember,
  fileLine,
  isMadeOf,
  linesOf,
  memberLine,
  totalLine,
} from './manifest.ts';

/** Lines are put into buffers of about so many bytes: as strings, they would take several times as much memory. */
const PIECE = 64 * KiB;

interface FileSoFar {
  readonly path: string;
  parts: number;
  size: number;
}

/**
 * The members that came of a stream, as the lines of the manifest that should come at its end. What a manifest
 * cannot list is refused as soon as it comes, so that this cannot grow without end.
 */
export class MembersSoFar {
  readonly #pieces: Buffer[] = [];
  #lines = '';
  #length = 0;
  #count = 0;
  #size = 0;
  /** In their order. */
  readonly #files = new Map<string, FileSoFar>();
  #file: FileSoFar | undefined;

  readonly #partSize: number;

  /** `partSize`: the bytes of every part but the last of a file. */
  constructor(header: ManifestMember, partSize: number) {
    this.#partSize = partSize;
    this.#add(header);
  }

  /** A part of a file, in its turn. Throws DamagedError when it cannot be its turn. */
  note(member: ManifestMember): void {
    const place = parsePartName(member.name);
    if (place === undefined) throw new RangeError(`${member.name} is no part of a file`);
    if (place.path === MANIFEST_PATH) return;
    const file = place.path === this.#file?.path ? this.#file : this.#begin(place.path);
    if (place.index !== file.parts || file.size !== place.index * this.#partSize) {
      throw new DamagedError(`${member.name} is not where it should be in the backup`);
    }
    file.parts += 1;
    file.size += member.size;
    this.#add(member);
  }

  /** Whether `manifest` tells of just what came. */
  isListedIn(manifest: Buffer): boolean {
    return isMadeOf(manifest, this.#manifest());
  }

  /** Says, in a sentence, where what came departs from the manifest. */
  differenceFrom(manifest: Buffer): string {
    const listed = linesOf([manifest]);
    for (const line of linesOf(this.#manifest())) {
      const { value = '' } = listed.next() as { value?: string };
      if (line === value) continue;
      const [kind, name = ''] = line.split(' ');
      if (kind === 'member' && !manifest.includes(`\nmember ${name} `, 0, 'latin1')) {
        return `the backup holds ${name}, which does not belong to it`;
      }
      return `the backup is incomplete: ${value.split(' ')[1] ?? ''} is missing or changed`;
    }
    return 'the manifest of the backup tells of more than the backup holds';
  }

  #begin(path: string): FileSoFar {
    if (this.#files.has(path)) throw new DamagedError(`the backup holds ${path} twice`);
    this.#file = { path, parts: 0, size: 0 };
    this.#files.set(path, this.#file);
    return this.#file;
  }

  #add(member: ManifestMember): void {
    const line = `${memberLine(member)}\n`;
    this.#length += line.length;
    if (this.#length > LARGEST_MANIFEST) {
      throw new DamagedError('the backup holds more parts than a manifest can list');
    }
    this.#lines += line;
    this.#count += 1;
    this.#size += member.size;
    if (this.#lines.length < PIECE) return;
    this.#pieces.push(Buffer.from(this.#lines, 'latin1'));
    this.#lines = '';
  }

  *#manifest(): Generator<Buffer> {
    yield Buffer.from(FIRST_LINE);
    yield* this.#pieces;
    yield Buffer.from(this.#lines, 'latin1');
    for (const file of this.#files.values()) yield Buffer.from(`${fileLine(file)}\n`, 'latin1');
    yield Buffer.from(totalLine(this.#count, this.#files.size, this.#size));
  }
}
