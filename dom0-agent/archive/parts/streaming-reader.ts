import { DamagedError } from '../../../shared/errors.ts';
import {
  type ArchiveReader,
  type TarredFile,
  type Header,
  LARGEST_QUBES_XML,
  QUBES_XML,
} from '../archive.ts';
import { readSmallFile } from '../tar/read-small-file.ts';
import { type BufferedParts, FileParts, PartRow } from './file-parts.ts';
import { LARGEST_MANIFEST, type Manifest } from './manifest.ts';
import type { PartFormat } from './part-format.ts';
import { type MemberSource, type OnPart, PartReader } from './part-reader.ts';
import type { NamedDirectories } from './stored-bounds.ts';

/** What is known about an archive when its header has been authenticated. */
export interface OpenedArchive {
  readonly header: Header;
  readonly format: PartFormat;
  /** Already lists the header, in formats that list it; undefined for an archive without a manifest. */
  readonly manifest?: Manifest | undefined;
  readonly signal: AbortSignal;
}

/**
 * Reads an archive of any format in one pass: what was read is compared with the manifest at the end, if there is
 * one. Unwanted parts are skipped, damaged or not; qubes.xml and the size of a manifest bound how many there can
 * be.
 */
export class StreamingReader implements ArchiveReader {
  readonly header: Header;
  readonly #format: PartFormat;
  readonly #manifest: Manifest | undefined;
  readonly #signal: AbortSignal;
  readonly #parts: PartReader;
  readonly #checkEnd: () => Promise<void>;
  #isManifestHere = false;

  /**
   * @param members those after the header and its MAC
   * @param checkEnd checks what follows the last of them
   */
  constructor(
    { header, format, manifest, signal }: OpenedArchive,
    members: MemberSource,
    checkEnd: () => Promise<void> = () => Promise.resolve(),
  ) {
    this.header = header;
    this.#format = format;
    this.#manifest = manifest;
    this.#signal = signal;
    this.#parts = new PartReader(members, format, this.#note);
    this.#checkEnd = checkEnd;
  }

  async qubesXml(): Promise<string> {
    const parts: BufferedParts = (...row) => this.#parts.ofFile(QUBES_XML, ...row);
    for await (const { path, innerTar } of this.#filesOf(parts)) {
      return (await readSmallFile(innerTar, path, LARGEST_QUBES_XML)).toString('utf8');
    }
    throw new DamagedError('the backup does not begin with qubes.xml: it is damaged or incomplete');
  }

  async *files(
    wanted: (path: string) => boolean,
    named?: NamedDirectories,
  ): AsyncGenerator<TarredFile, void, undefined> {
    if (named !== undefined) this.#parts.nameDirectories(named);
    const manifestPath = this.#manifest?.form.path;
    let manifest: Buffer | undefined;
    const isWanted = (path: string): boolean => path === manifestPath || wanted(path);
    const parts: BufferedParts = (...row) => this.#parts.wanted(isWanted, ...row);
    for await (const file of this.#filesOf(parts)) {
      if (file.path !== manifestPath) yield file;
      else manifest = await readSmallFile(file.innerTar, file.path, LARGEST_MANIFEST);
    }
    this.#compare(manifest);
    await this.#checkEnd();
  }

  async *#filesOf(parts: BufferedParts): AsyncGenerator<TarredFile, void, undefined> {
    await using row = new PartRow(parts, this.#format, this.#signal);
    for (let next = await row.peek(); next !== undefined; next = await row.peek()) {
      const file = new FileParts(next.path, row, this.#format);
      try {
        yield { path: next.path, innerTar: file.innerTar() };
      } finally {
        await file.leave();
      }
      await file.passOver();
    }
  }

  readonly #note: OnPart = (part, member) => {
    if (this.#manifest === undefined) return;
    if (this.#isManifestHere && part.path !== this.#manifest.form.path) {
      throw new DamagedError(`the backup contains ${member.name} after its manifest`);
    }
    this.#isManifestHere = part.path === this.#manifest.form.path;
    if (this.#isManifestHere) return;
    this.#manifest.add(member, part);
    if (this.#manifest.isTooLong) {
      throw new DamagedError('the backup contains more parts than a manifest can list');
    }
  };

  #compare(manifest: Buffer | undefined): void {
    if (this.#manifest === undefined) return;
    if (manifest === undefined) {
      throw new DamagedError('the backup is cut short: the manifest at its end is missing');
    }
    const difference = this.#manifest.differenceFrom(manifest);
    if (difference !== undefined) throw new DamagedError(difference);
  }
}
