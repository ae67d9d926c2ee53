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
import { LARGEST_LIST, type OfficialFormat, type ReadMembers } from './official-format.ts';
import { type MemberSource, type OnPart, PartReader } from './part-reader.ts';
import type { NamedDirectories } from './stored-bounds.ts';

/** What is known about an archive when its header has been authenticated. */
export interface OpenedArchive {
  readonly header: Header;
  readonly format: OfficialFormat;
  /** For an archive that coffer wrote, which ends with a list of its members. */
  readonly members?: ReadMembers | undefined;
  readonly signal: AbortSignal;
}

/**
 * Reads an archive of format 4, 3 or 2 in one pass: what was read is compared with the list at the end, if there is
 * one. Unwanted parts are skipped, damaged or not; qubes.xml and the size of a list bound how many there can be.
 */
export class OfficialReader implements ArchiveReader {
  readonly header: Header;
  readonly #format: OfficialFormat;
  readonly #read: ReadMembers | undefined;
  readonly #signal: AbortSignal;
  readonly #parts: PartReader;
  #isListHere = false;

  /** @param source yields the members after the header and its MAC */
  constructor({ header, format, members, signal }: OpenedArchive, source: MemberSource) {
    this.header = header;
    this.#format = format;
    this.#read = members;
    this.#signal = signal;
    this.#parts = new PartReader(source, format, this.#note);
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
    const listPath = this.#read?.listPath;
    let list: Buffer | undefined;
    const isWanted = (path: string): boolean => path === listPath || wanted(path);
    const parts: BufferedParts = (...row) => this.#parts.wanted(isWanted, ...row);
    for await (const file of this.#filesOf(parts)) {
      if (file.path !== listPath) yield file;
      else list = await readSmallFile(file.innerTar, file.path, LARGEST_LIST);
    }
    if (this.#read === undefined) return;
    if (list === undefined) {
      throw new DamagedError('the backup is cut short: the manifest at its end is missing');
    }
    this.#read.compareWith(list);
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
    if (this.#read === undefined) return;
    if (this.#isListHere && part.path !== this.#read.listPath) {
      throw new DamagedError(`the backup contains ${member.name} after its manifest`);
    }
    this.#isListHere = part.path === this.#read.listPath;
    if (!this.#isListHere) this.#read.note(member);
  };
}
