import { DamagedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import { tarOfPieces } from '../tar/inner-writer.ts';
import { type PartName, parsePartName } from './part-name.ts';

/** About 170 bytes for each member: more than any backup needs. */
export const LARGEST_MANIFEST = 64 * MiB;
/** Lines are kept in buffers of about this size: as strings, they would take several times the memory. */
const PIECE = 64 * KiB;

/** How a format writes its manifest, the last file of an archive. */
export interface ManifestForm {
  readonly path: string;
  readonly firstLine: string;
  /** Hex digits. */
  readonly macLength: number;
  /** Whether it has a line for every file, too. */
  readonly listsFiles: boolean;
}

/** A member as the manifest lists it. */
export interface ListedMember {
  readonly name: string;
  /** Bytes as stored. */
  readonly size: number;
  /** In hex. Undefined if it is not known, because it is in a part that was skipped. */
  readonly mac: string | undefined;
}

/** A file, as derived from its parts. */
export interface ListedFile {
  readonly path: string;
  readonly parts: number;
  /** Bytes as stored. */
  readonly size: number;
  /** The position of its first part among the members. */
  readonly firstMember: number;
}

/**
 * The members written, or read, so far, as the lines of the manifest at the end. The writer writes it; a reader
 * compares. Everything in it is derived from the members.
 */
export class Manifest {
  readonly form: ManifestForm;
  readonly #pieces: Buffer[] = [];
  /** The lines that are not in a piece yet. */
  #lines = '';
  #length = 0;
  #members = 0;
  #size = 0;
  readonly #files: { -readonly [key in keyof ListedFile]: ListedFile[key] }[] = [];

  constructor(form: ManifestForm) {
    this.form = form;
  }

  get files(): readonly ListedFile[] {
    return this.#files;
  }

  /** Whether there are more members than a manifest can list. */
  get isTooLong(): boolean {
    return this.#length > LARGEST_MANIFEST;
  }

  /** The next member. Throws DamagedError when it is not the next part of its file. */
  add(member: ListedMember, part?: PartName): void {
    if (part !== undefined) this.#addPart(part, member.size);
    const line = `${memberLine(member)}\n`;
    this.#lines += line;
    this.#length += line.length;
    this.#members += 1;
    this.#size += member.size;
    if (this.#lines.length < PIECE) return;
    this.#pieces.push(Buffer.from(this.#lines, 'latin1'));
    this.#lines = '';
  }

  /** The text, in pieces of whole lines. */
  *text(): Generator<Buffer, void, undefined> {
    const { firstLine, listsFiles } = this.form;
    yield Buffer.from(`${firstLine}\n`);
    yield* this.#pieces;
    yield Buffer.from(this.#lines, 'latin1');
    if (listsFiles) yield* this.#fileLines();
    const files = listsFiles ? ` ${this.#files.length}` : '';
    yield Buffer.from(`total ${this.#members}${files} ${this.#size}\n`);
  }

  /** The manifest as an inner tar. */
  tar(): AsyncIterable<Buffer> {
    let size = 0;
    for (const piece of this.text()) size += piece.length;
    return tarOfPieces(this.form.path, size, this.text());
  }

  /** A sentence that says where the members differ from an authenticated manifest; undefined if they do not. */
  differenceFrom(manifest: Buffer): string | undefined {
    const listed = linesOf([manifest]);
    for (const line of linesOf(this.text())) {
      const { value = '' } = listed.next() as { value?: string };
      if (!this.#agrees(line, value)) return differenceOf(line, value, manifest);
    }
    if (listed.next().done === true && manifest.at(-1) === 0x0a) return undefined;
    return 'the manifest of the backup lists more than the backup contains';
  }

  #addPart({ path, index, name }: PartName, size: number): void {
    const last = this.#files.at(-1);
    const isOfLast = last?.path === path;
    if (index !== (isOfLast ? last.parts : 0)) {
      throw new DamagedError(`${printable(name)} is not where it should be in the backup`);
    }
    if (isOfLast) {
      last.parts += 1;
      last.size += size;
    } else {
      this.#files.push({ path, parts: 1, size, firstMember: this.#members });
    }
  }

  *#fileLines(): Generator<Buffer, void, undefined> {
    for (const { path, parts, size } of this.#files) {
      yield Buffer.from(`file ${path} ${parts} ${size}\n`, 'latin1');
    }
  }

  /** Whether a line agrees with the manifest; an unknown MAC agrees with any. */
  #agrees(line: string, listed: string): boolean {
    if (!line.endsWith(' ')) return line === listed;
    return listed.startsWith(line) && isMac(listed.slice(line.length), this.form.macLength);
  }
}

/** The members that an authenticated manifest lists, and the files derived from them. Throws DamagedError. */
export function parseManifest(
  text: Buffer,
  form: ManifestForm,
): { readonly members: readonly ListedMember[]; readonly files: readonly ListedFile[] } {
  const invalid = new DamagedError('the manifest of the backup is not valid, though authentic');
  const manifest = new Manifest(form);
  const members: ListedMember[] = [];
  for (const line of linesOf([text])) {
    if (!line.startsWith('member ')) continue;
    const match = /^member (\S+) (0|[1-9][0-9]{0,9}) ([0-9a-f]+)$/.exec(line);
    const [, name = '', size, mac = ''] = match ?? [];
    if (!isMac(mac, form.macLength)) throw invalid;
    const member = { name, size: Number(size), mac };
    members.push(member);
    manifest.add(member, parsePartName(name));
  }
  if (manifest.differenceFrom(text) !== undefined) throw invalid;
  return { members, files: manifest.files };
}

/** With an unknown MAC, the line ends with a blank. */
function memberLine({ name, size, mac = '' }: ListedMember): string {
  return `member ${name} ${size} ${mac}`;
}

function isMac(text: string, length: number): boolean {
  return text.length === length && /^[0-9a-f]*$/.test(text);
}

function differenceOf(line: string, listed: string, manifest: Buffer): string {
  const [kind, name = ''] = line.split(' ');
  if (kind === 'member' && !manifest.includes(`\nmember ${name} `, 0, 'latin1')) {
    return `the backup contains ${name}, which does not belong to it`;
  }
  const missing = listed.split(' ')[1] ?? '';
  return `the backup is incomplete: ${missing} is missing or changed`;
}

/** The lines of a text that comes in pieces of whole lines. */
function* linesOf(pieces: Iterable<Buffer>): Generator<string, void, undefined> {
  for (const piece of pieces) {
    for (let start = 0; start < piece.length;) {
      const found = piece.indexOf('\n', start);
      const end = found === -1 ? piece.length : found;
      yield piece.toString('latin1', start, end);
      start = end + 1;
    }
  }
}
