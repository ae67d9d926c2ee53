import { DamagedError } from '../../../shared/errors.ts';
import { oldGnuRealSize, readOldGnuMap } from '../../../shared/old-gnu-sparse.ts';
import { printable } from '../../../shared/printable.ts';
import type { ByteReader } from '../../../shared/byte-reader.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import { type TarHeader, parseTarHeader } from './header-block.ts';
import type { PaxAttributes } from './pax.ts';
import { SparseMap, paxHeaderMap, readPaxMap } from './sparse-map.ts';

/** `special`: a device or a named pipe, which has no content. */
type TarMemberType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'special';

/**
 * A member of an inner tar: what coffer needs to know about it. Links are only checked; GNU tar creates them. In
 * `path` one character is one byte: the name on disk is `Buffer.from(path, 'latin1')`.
 */
export interface TarMember {
  /** Relative, without `..`, `.`, empty components or NUL. The root of the tar itself is `.`. */
  readonly path: string;
  readonly type: TarMemberType;
  /** Size in bytes, holes included. */
  readonly realSize: number;
  /**
   * The data, ascending. Can be read once, before the next member is asked for, which skips the rest. Throws
   * DamagedError when the tar ends within it.
   */
  readonly pieces: () => AsyncIterable<DataPiece>;
}

/** A member whose data comes next in the stream, and its size there in bytes. */
interface StoredMember {
  readonly member: TarMember;
  readonly storedSize: number;
}

/**
 * Parses a member's own header block and the map of a sparse file. From here on, errors of `bytes` name the
 * member. Throws DamagedError.
 */
export async function readMember(
  untrustedBlock: Buffer,
  attributes: PaxAttributes,
  bytes: ByteReader,
): Promise<StoredMember> {
  const header = parseTarHeader(untrustedBlock, bytes.name);
  const path = checkedPath(attributes.path ?? header.path, bytes.name);
  bytes.name = printable(Buffer.from(path, 'latin1').toString());
  const type = memberType(header.type, bytes.name);
  checkLink(attributes.linkTarget ?? header.linkTarget, type, bytes.name);
  const map = await readMap(type, header, untrustedBlock, attributes, bytes);
  const { realSize, storedSize } = map;
  const dataStart = bytes.position;
  const pieces = (): AsyncIterable<DataPiece> => {
    if (bytes.position !== dataStart)
      throw new Error(`${path} can only be read once, and in order`);
    return piecesOf(map, bytes);
  };
  return { member: { path, type, realSize, pieces }, storedSize };
}

async function* piecesOf(map: SparseMap, bytes: ByteReader): AsyncGenerator<DataPiece> {
  for (const [i, start] of map.offsets.entries()) {
    let offset = start;
    for await (const piece of bytes.chunks(map.lengths[i] ?? 0)) {
      yield { offset, bytes: piece };
      offset += piece.length;
    }
  }
}

/** Where a member has data: for one that is not sparse, everywhere. */
async function readMap(
  type: TarMemberType,
  header: TarHeader,
  untrustedBlock: Buffer,
  attributes: PaxAttributes,
  bytes: ByteReader,
): Promise<SparseMap> {
  const untrustedSize = attributes.storedSize ?? header.size;
  if (type !== 'file' && untrustedSize > 0) {
    throw new DamagedError(`${bytes.name} is damaged: it has content, but is not a file`);
  }
  const start = bytes.position;
  if (header.type === 'S') {
    const map = new SparseMap(oldGnuRealSize(untrustedBlock), bytes.name);
    await readOldGnuMap(untrustedBlock, bytes, map);
    if (map.storedSize !== untrustedSize) throw map.damaged('does not fit the data');
    return map;
  }
  if (type === 'file' && attributes.sparseVersion !== undefined) {
    const map = await readPaxSparse(attributes, bytes);
    const mapSize = bytes.position - start;
    if (mapSize + map.storedSize !== untrustedSize) throw map.damaged('does not fit the data');
    return map;
  }
  const everywhere = new SparseMap(untrustedSize, bytes.name);
  everywhere.add(0, untrustedSize);
  return everywhere;
}

async function readPaxSparse(attributes: PaxAttributes, bytes: ByteReader): Promise<SparseMap> {
  return attributes.sparseVersion === 'map in header'
    ? paxHeaderMap(attributes.records, bytes.name)
    : readPaxMap(attributes.realSize, bytes, bytes.name);
}

function memberType(untrustedFlag: string, where: string): TarMemberType {
  switch (untrustedFlag) {
    case '0':
    case 'S':
      return 'file';
    case '1':
      return 'hardlink';
    case '2':
      return 'symlink';
    case '3':
    case '4':
    case '6':
      return 'special';
    case '5':
      return 'directory';
    case 'M':
      throw new DamagedError(`${where} is damaged: its beginning is missing`);
    default:
      throw new DamagedError(`${where} is of a type that no backup contains`);
  }
}

function checkedPath(untrustedPath: string, where: string): string {
  const parts = untrustedPath.split('/').filter((part) => part !== '' && part !== '.');
  const isRelative = untrustedPath !== '' && !untrustedPath.startsWith('/');
  if (!isRelative || parts.includes('..') || untrustedPath.includes('\0')) {
    throw new DamagedError(`${where} contains a member with a forbidden name`);
  }
  return parts.length === 0 ? '.' : parts.join('/');
}

/** A hard link's target must be valid as a `path`; a symbolic link's may be anything without NUL. */
function checkLink(untrustedTarget: string, type: TarMemberType, where: string): void {
  if (type === 'hardlink') checkedPath(untrustedTarget, where);
  if (type === 'symlink' && (untrustedTarget === '' || untrustedTarget.includes('\0'))) {
    throw new DamagedError(`${where} is a link with a forbidden target`);
  }
}
