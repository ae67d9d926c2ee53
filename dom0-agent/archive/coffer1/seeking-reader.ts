import type { ByteSource } from '../../../shared/byte-streams.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { BLOCK, paddingOf } from '../../../shared/tar-block.ts';
import { type ArchiveReader, type ArchivedFile, LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import { FileParts, PartRow } from '../parts/file-parts.ts';
import {
  LARGEST_MANIFEST,
  type ListedFile,
  type ListedMember,
  parseManifest,
} from '../parts/manifest.ts';
import { DamagedPartError } from '../parts/part-name.ts';
import { type OnPart, PartReader } from '../parts/part-reader.ts';
import type { OpenedArchive } from '../parts/streaming-reader.ts';
import { OuterTarReader } from '../tar/outer-reader.ts';
import { readSmallFile } from '../tar/read-small-file.ts';
import { findManifest, refuseFollowed } from './archive-end.ts';
import { MANIFEST } from './coffer1-format.ts';
import type { Coffer1Header } from './coffer1-header.ts';
import { MAC_LENGTH } from './seal-member.ts';

/** A coffer-1 archive in a file. */
interface OpenedFile extends OpenedArchive {
  readonly header: Coffer1Header;
}

/** The contents of an authenticated manifest. */
interface Listed {
  readonly members: readonly ListedMember[];
  readonly files: readonly ListedFile[];
  /** Where each member begins, and after the last one, where the manifest begins. */
  readonly offsets: readonly number[];
}

/** Files that are adjacent in the archive, and where. */
interface Run {
  readonly files: readonly ListedFile[];
  readonly from: number;
  readonly to: number;
}

/**
 * Reads an archive in a file: its manifest first, then only what is wanted, each part compared with
 * the manifest.
 */
export class SeekingReader implements ArchiveReader {
  readonly #input: ByteSource;
  readonly #archive: OpenedFile;
  readonly #listed: Listed;

  private constructor(input: ByteSource, archive: OpenedFile, listed: Listed) {
    this.#input = input;
    this.#archive = archive;
    this.#listed = listed;
  }

  /** Reads and checks the manifest of the archive of `size` bytes. Throws DamagedError. */
  static async open(
    input: ByteSource,
    size: number,
    archive: OpenedFile,
    header: ListedMember,
  ): Promise<SeekingReader> {
    const from = await findManifest(input, size);
    await using tar = new OuterTarReader(input, { from, canonical: true });
    const { members, files } = parseManifest(await readManifest(tar, archive), MANIFEST);
    const offsets = offsetsOf(members);
    if (offsets.at(-1) !== from || !isSame(members[0], header)) {
      throw new DamagedError(
        'the backup is incomplete or was put together from others: its manifest lists other contents',
      );
    }
    refuseFollowed(await tar.behindEnd());
    return new SeekingReader(input, archive, { members, files, offsets });
  }

  get header(): Coffer1Header {
    return this.#archive.header;
  }

  async qubesXml(): Promise<string> {
    for await (const { path, innerTar } of this.files((path) => path === QUBES_XML)) {
      return (await readSmallFile(innerTar, path, LARGEST_QUBES_XML)).toString('utf8');
    }
    throw new DamagedError('the backup contains no qubes.xml');
  }

  async *files(wanted: (path: string) => boolean): AsyncGenerator<ArchivedFile, void, undefined> {
    let files = this.#listed.files.filter(({ path }) => wanted(path));
    while (files.length > 0) files = files.slice(yield* this.#filesOfRun(this.#firstRun(files)));
  }

  #firstRun(files: readonly ListedFile[]): Run {
    const run: ListedFile[] = [];
    let to: number | undefined;
    for (const file of files) {
      if (to !== undefined && to !== this.#offset(file.firstMember)) break;
      run.push(file);
      to = this.#offset(file.firstMember + file.parts);
    }
    return { files: run, from: this.#offset(run[0]?.firstMember ?? 0), to: to ?? 0 };
  }

  /** Returns how many files were handled: all of the run, or those up to a damaged one. */
  async *#filesOfRun({ files, from, to }: Run): AsyncGenerator<ArchivedFile, number, undefined> {
    const { format, signal } = this.#archive;
    await using tar = new OuterTarReader(this.#input, { from, to, canonical: true });
    const parts = new PartReader(tar, format, this.#compareFrom(files[0]?.firstMember ?? 0));
    await using row = new PartRow((...args) => parts.wanted(() => true, ...args), format, signal);
    for (const [position, { path, parts: expected }] of files.entries()) {
      const file = new FileParts(path, row, format);
      const state = { isDamaged: false };
      try {
        yield { path, innerTar: noting(file.innerTar(), () => (state.isDamaged = true)) };
      } finally {
        await file.leave();
      }
      // The manifest says where the next file is, whatever is in place of this one.
      if (state.isDamaged) return position + 1;
      await file.passOver();
      if (file.taken !== expected) {
        throw new DamagedError(`the backup does not contain all of ${path}`);
      }
    }
    return files.length;
  }

  /** Refuses a part that is not, from `member` on, the next one that the manifest lists. */
  #compareFrom(member: number): OnPart {
    return (part, found) => {
      if (isSame(this.#listed.members[member++], found)) return;
      throw new DamagedPartError(
        part,
        `${part.name} in the backup is not the one that its manifest lists`,
      );
    };
  }

  #offset(member: number): number {
    const offset = this.#listed.offsets[member];
    if (offset === undefined) throw new RangeError(`the archive has no member ${member}`);
    return offset;
  }
}

/** `tar` begins with the manifest, which must be the last file. */
async function readManifest(
  tar: OuterTarReader,
  { format, signal }: OpenedArchive,
): Promise<Buffer> {
  const parts = new PartReader(tar, format, () => undefined);
  await using row = new PartRow((...args) => parts.wanted(() => true, ...args), format, signal);
  const file = new FileParts(MANIFEST.path, row, format);
  const manifest = await readSmallFile(file.innerTar(), MANIFEST.path, LARGEST_MANIFEST);
  if ((await row.peek()) === undefined) return manifest;
  throw new DamagedError('the backup goes on after its manifest');
}

/** The same bytes; `note` is called when they end in an error. */
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

function offsetsOf(members: readonly ListedMember[]): number[] {
  const offsets = [0];
  let offset = 0;
  for (const { size } of members) offsets.push((offset += storedLength(size)));
  return offsets;
}

/** The bytes that a member and its `.hmac` take in the outer tar. */
function storedLength(size: number): number {
  return BLOCK + size + paddingOf(size) + BLOCK + MAC_LENGTH + 1 + paddingOf(MAC_LENGTH + 1);
}

function isSame(listed: ListedMember | undefined, found: ListedMember): boolean {
  return listed?.name === found.name && listed.size === found.size && listed.mac === found.mac;
}
