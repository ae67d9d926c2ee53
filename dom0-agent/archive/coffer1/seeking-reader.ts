import type { ByteSource } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import type { ArchiveReader, ArchivedFile } from '../archive.ts';
import { LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import { DamagedPartError } from '../parts/damaged-part-error.ts';
import { readSmallFile } from '../tar/read-small-file.ts';
import { OuterTarReader } from '../tar/outer-reader.ts';
import { refuseFollowed } from './trailing-bytes.ts';
import type { Coffer1Header } from './coffer1-header.ts';
import { type Opened, innerTarOf } from './inner-tar-of.ts';
import {
  MANIFEST_PATH,
  type ManifestFile,
  type ManifestMember,
  filesOf,
  parseManifest,
  readManifest,
  storedLength,
} from './manifest.ts';
import { StoredParts, partsOfNextFile, passFile } from './stored-parts.ts';
import { findManifest } from './find-manifest.ts';

/** Files that lie one behind the other in the archive, and where. */
interface Run {
  readonly files: readonly ManifestFile[];
  readonly from: number;
  readonly to: number;
}

/**
 * Reads an archive in a file: its manifest first, then only what is wanted, each part held against
 * the manifest.
 */
export class SeekingReader implements ArchiveReader {
  readonly #input: ByteSource;
  readonly #opened: Opened;
  readonly #members: readonly ManifestMember[];
  readonly #files: readonly ManifestFile[];
  /** Where each member begins, and after the last one where the manifest does. */
  readonly #offsets: readonly number[];

  private constructor(
    input: ByteSource,
    opened: Opened,
    members: readonly ManifestMember[],
    offsets: readonly number[],
  ) {
    this.#input = input;
    this.#opened = opened;
    this.#members = members;
    this.#files = filesOf(members);
    this.#offsets = offsets;
  }

  /** Reads and checks the manifest of the archive of `size` bytes. Throws DamagedError. */
  static async open(
    input: ByteSource,
    size: number,
    opened: Opened,
    headerMember: ManifestMember,
  ): Promise<SeekingReader> {
    const from = await findManifest(input, size);
    await using tar = new OuterTarReader(input, { from, canonical: true });
    const stored = new StoredParts(tar, opened.header.partSize);
    const parts = partsOfNextFile(stored, MANIFEST_PATH, () => undefined);
    const members = parseManifest(await readManifest(innerTarOf(parts, opened)));
    if ((await stored.peek()) !== undefined)
      throw new DamagedError('the backup goes on after its manifest');
    const offsets = offsetsOf(members);
    if (offsets.at(-1) !== from || !isSame(members[0], headerMember)) {
      throw new DamagedError(
        'the backup is incomplete or was put together from others: its manifest tells of other contents',
      );
    }
    refuseFollowed(await tar.behindEnd());
    return new SeekingReader(input, opened, members, offsets);
  }

  get header(): Coffer1Header {
    return this.#opened.header;
  }

  async qubesXml(): Promise<string> {
    for await (const { path, innerTar } of this.files((path) => path === QUBES_XML)) {
      return (await readSmallFile(innerTar, path, LARGEST_QUBES_XML)).toString('utf8');
    }
    throw new DamagedError('the backup holds no qubes.xml');
  }

  async *files(wanted: (path: string) => boolean): AsyncGenerator<ArchivedFile, void, undefined> {
    let files = this.#files.filter(({ path }) => wanted(path));
    while (files.length > 0) files = files.slice(yield* this.#filesOfRun(this.#firstRun(files)));
  }

  #firstRun(files: readonly ManifestFile[]): Run {
    const run: ManifestFile[] = [];
    let to: number | undefined;
    for (const file of files) {
      if (to !== undefined && to !== this.#offset(file.firstMember)) break;
      run.push(file);
      to = this.#offset(file.firstMember + file.parts);
    }
    return { files: run, from: this.#offset(run[0]?.firstMember ?? 0), to: to ?? 0 };
  }

  /** Gives how many files are done with: all of the run, or those up to a damaged one. */
  async *#filesOfRun({ files, from, to }: Run): AsyncGenerator<ArchivedFile, number, undefined> {
    await using tar = new OuterTarReader(this.#input, { from, to, canonical: true });
    const stored = new StoredParts(tar, this.#opened.header.partSize);
    for (const [position, file] of files.entries()) {
      let member = file.firstMember;
      const check = (part: ManifestMember): void => {
        if (!isSame(this.#members[member++], part)) {
          throw new DamagedPartError(part.name, 'is not the one that its manifest tells of');
        }
      };
      const parts = partsOfNextFile(stored, file.path, check);
      const state = { isDamaged: false };
      const innerTar = noting(innerTarOf(parts, this.#opened), () => (state.isDamaged = true));
      yield { path: file.path, innerTar };
      // Where the next file lies, the manifest tells, whatever stands in the place of this one.
      if (state.isDamaged) return position + 1;
      await passFile(stored, file.path, check);
      if (member !== file.firstMember + file.parts) {
        throw new DamagedError(`the backup does not hold the whole of ${file.path}`);
      }
    }
    return files.length;
  }

  #offset(member: number): number {
    const offset = this.#offsets[member];
    if (offset === undefined) throw new RangeError(`the archive has no member ${member}`);
    return offset;
  }
}

/** The same bytes; `note` is told when they end in an error. */
async function* noting(
  source: AsyncIterable<Buffer>,
  note: () => void,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    yield* source;
  } catch (error) {
    note();
    throw error;
  }
}

function offsetsOf(members: readonly ManifestMember[]): number[] {
  const offsets = [0];
  let offset = 0;
  for (const { size } of members) offsets.push((offset += storedLength(size)));
  return offsets;
}

function isSame(listed: ManifestMember | undefined, found: ManifestMember): boolean {
  return listed?.name === found.name && listed.size === found.size && listed.mac === found.mac;
}
