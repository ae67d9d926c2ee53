import { DamagedError } from '../../../shared/errors.ts';
import type { ArchiveInput, ArchiveReader, ArchivedFile } from '../archive.ts';
import { LARGEST_QUBES_XML, QUBES_XML } from '../archive.ts';
import { readSmallFile } from '../inner-tar/small-file.ts';
import { OuterTarReader } from '../outer-tar/reader.ts';
import { refuseFollowed } from './followed.ts';
import type { Coffer1Header } from './header.ts';
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
import { findManifest } from './tail.ts';

/** Files that lie one behind the other in the archive, and where. */
interface Run {
  readonly files: ManifestFile[];
  readonly from: number;
  to: number;
}

/**
 * Reads an archive in a file: its manifest first, then only what is wanted, each part held against
 * the manifest.
 */
export class SeekingReader implements ArchiveReader {
  readonly #input: ArchiveInput;
  readonly #opened: Opened;
  readonly #members: readonly ManifestMember[];
  readonly #files: readonly ManifestFile[];
  /** Where each member begins, and after the last one where the manifest does. */
  readonly #offsets: readonly number[];

  private constructor(
    input: ArchiveInput,
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
    input: ArchiveInput,
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
    for (const run of this.#runs(wanted)) yield* this.#filesOfRun(run);
  }

  #runs(wanted: (path: string) => boolean): Run[] {
    const runs: Run[] = [];
    for (const file of this.#files.filter(({ path }) => wanted(path))) {
      const from = this.#offset(file.firstMember);
      const to = this.#offset(file.firstMember + file.parts);
      const last = runs.at(-1);
      if (last?.to === from) {
        last.files.push(file);
        last.to = to;
      } else {
        runs.push({ files: [file], from, to });
      }
    }
    return runs;
  }

  async *#filesOfRun({ files, from, to }: Run): AsyncGenerator<ArchivedFile, void, undefined> {
    await using tar = new OuterTarReader(this.#input, { from, to, canonical: true });
    const stored = new StoredParts(tar, this.#opened.header.partSize);
    for (const file of files) {
      let member = file.firstMember;
      const check = (part: ManifestMember): void => {
        if (!isSame(this.#members[member++], part)) {
          throw new DamagedError(
            `the backup's ${part.name} is not the one that its manifest tells of`,
          );
        }
      };
      const parts = partsOfNextFile(stored, file.path, check);
      yield { path: file.path, innerTar: innerTarOf(parts, this.#opened) };
      await passFile(stored, file.path, check);
      if (member !== file.firstMember + file.parts) {
        throw new DamagedError(`the backup does not hold the whole of ${file.path}`);
      }
    }
  }

  #offset(member: number): number {
    const offset = this.#offsets[member];
    if (offset === undefined) throw new RangeError(`the archive has no member ${member}`);
    return offset;
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
