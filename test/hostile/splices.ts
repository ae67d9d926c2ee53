import { membersOf } from '../archive/official-archives.ts';
import { tarOf } from '../archive/tar/tar-of.ts';

/** A member of an archive, as an attacker without the key sees it. */
export interface Piece {
  readonly name: string;
  readonly content: Buffer;
}

/** Splits an archive into its members. */
export function piecesOf(archive: Buffer): Piece[] {
  return membersOf(archive).map(({ name, content }) => ({ name, content }));
}

/** Assembles pieces into an archive that is a valid tar. */
export async function assemble(pieces: readonly Piece[]): Promise<Buffer> {
  return tarOf(pieces.map(({ name, content }) => [name, content]));
}

/** Whether a piece belongs to a file or member, including each `.hmac`. */
export function belongsTo(path: string): (piece: Piece) => boolean {
  return ({ name }) => name === path || name.startsWith(`${path}.`);
}

/** The pieces, with those of `path` replaced by those from `others`. */
export function graft(pieces: readonly Piece[], others: readonly Piece[], path: string): Piece[] {
  const is = belongsTo(path);
  const at = pieces.findIndex(is);
  return pieces.filter((piece) => !is(piece)).toSpliced(at, 0, ...others.filter(is));
}

/** The header with some of its text replaced, and its MAC unchanged. */
export function reword(pieces: readonly Piece[], from: RegExp, to: string): Piece[] {
  return pieces.map((piece) => {
    if (piece.name !== 'backup-header') return piece;
    const text = piece.content.toString();
    if (!from.test(text)) throw new Error(`the header does not say ${from.source}`);
    return { ...piece, content: Buffer.from(text.replace(from, to)) };
  });
}

/** Changes the first hex digit of a header's value. */
export function otherDigit(pieces: readonly Piece[], key: string): Piece[] {
  const header = pieces.find(({ name }) => name === 'backup-header')?.content.toString() ?? '';
  const [, digit] = new RegExp(`^${key}=(.)`, 'm').exec(header) ?? [];
  const other = digit === '0' ? '1' : '0';
  return reword(pieces, new RegExp(`^${key}=.`, 'm'), `${key}=${other}`);
}

/** Replaces the files of a VM by those of another one. */
export function rename(pieces: readonly Piece[], from: string, to: string): Piece[] {
  return pieces.map((piece) => ({
    ...piece,
    name: piece.name.startsWith(`${from}/`) ? piece.name.replace(from, to) : piece.name,
  }));
}
