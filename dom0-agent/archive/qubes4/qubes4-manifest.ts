import { DamagedError } from '../../../shared/errors.ts';
import { KiB } from '../../../shared/sizes.ts';
import { LARGEST_LIST, type ReadMember, type ReadMembers } from '../official/official-format.ts';
import { tarOfPieces } from '../tar/inner-writer.ts';
import { SCRYPT_MAC } from './scrypt-file.ts';

/**
 * The last file of a format 4 archive that coffer wrote. No VM has that directory, so the official tools
 * ignore it. The authenticated header announces it with a key of the same name, so that it cannot be removed
 * unnoticed. Official tools ignore unknown keys.
 */
export const COFFER_MANIFEST = 'coffer-manifest';
/** Lines are kept in buffers of about this size: as strings, they would take several times the memory. */
const PIECE = 64 * KiB;
const MAC = new RegExp(`^[0-9a-f]{${2 * SCRYPT_MAC}}$`);

/**
 * The members that were written or read so far, as lines of the manifest at the end. A writer writes it; a reader
 * compares it with the stored one. Everything in it follows from the members.
 */
export class Qubes4Manifest implements ReadMembers {
  readonly listPath = COFFER_MANIFEST;
  readonly #pieces: Buffer[] = [];
  /** The lines that are not in a piece yet. */
  #lines = 'coffer-manifest 1\n';
  #length = 0;
  #members = 0;
  #size = 0;

  /** Whether there are more members than a manifest can list. */
  get isTooLong(): boolean {
    return this.#length > LARGEST_LIST;
  }

  /** The next member. */
  add(member: ReadMember): void {
    const line = `${memberLine(member)}\n`;
    this.#lines += line;
    this.#length += line.length;
    this.#members += 1;
    this.#size += member.size;
    if (this.#lines.length < PIECE) return;
    this.#pieces.push(Buffer.from(this.#lines, 'latin1'));
    this.#lines = '';
  }

  note(member: ReadMember): void {
    this.add(member);
    if (this.isTooLong) {
      throw new DamagedError('the backup contains more parts than a manifest can list');
    }
  }

  /** The text, in pieces of whole lines. */
  *text(): Generator<Buffer, void, undefined> {
    yield* this.#pieces;
    yield Buffer.from(`${this.#lines}total ${this.#members} ${this.#size}\n`, 'latin1');
  }

  /** The manifest as an inner tar. */
  tar(): AsyncIterable<Buffer> {
    let size = 0;
    for (const piece of this.text()) size += piece.length;
    return tarOfPieces(this.listPath, size, this.text());
  }

  compareWith(list: Buffer): void {
    const listed = linesOf([list]);
    for (const line of linesOf(this.text())) {
      const { value = '' } = listed.next() as { value?: string };
      if (!agrees(line, value)) throw new DamagedError(differenceOf(line, value, list));
    }
    if (listed.next().done !== true || list.at(-1) !== 0x0a) {
      throw new DamagedError('the manifest of the backup lists more than the backup contains');
    }
  }
}

/** With an unknown MAC, the line ends with a blank. */
function memberLine({ name, size, mac = '' }: ReadMember): string {
  return `member ${name} ${size} ${mac}`;
}

/** Whether a line agrees with the manifest; an unknown MAC agrees with any. */
function agrees(line: string, listed: string): boolean {
  if (!line.endsWith(' ')) return line === listed;
  return listed.startsWith(line) && MAC.test(listed.slice(line.length));
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
