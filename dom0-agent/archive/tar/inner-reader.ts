import { DamagedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import { ByteReader } from '../../../shared/byte-reader.ts';
import { isZero } from '../../../shared/sparse-data.ts';
import { BLOCK, paddingOf } from '../../../shared/tar-block.ts';
import { parseTarHeader, text } from './header-block.ts';
import { type TarMember, readMember } from './inner-member.ts';
import { PaxAttributes, type PaxRecord, checkGlobalRecords, parsePax } from './pax.ts';

export type { TarMember } from './inner-member.ts';

/** The largest long name or pax header. */
const LARGEST_ATTRIBUTES = 1 * MiB;
/** tar pads its last record with zero blocks, 10 KiB by default; more than this is an attack. */
const MOST_ZEROS = 1 * MiB;

/**
 * The members of an inner tar: everything that GNU tar writes in its gnu, posix and ustar formats. The volumes of a
 * multi-volume tar go through `joinVolumes` first. There may be zero blocks between members. Nothing large is buffered
 * except the map of a sparse file: 16 bytes for each extent.
 *
 * `source` is authenticated, but a compromised system may have made it: everything in it is checked and
 * bounded. A tar that is malformed, ends early, or lacks its end-of-archive blocks is a DamagedError, which
 * names the member, or `name` outside of members.
 */
export async function* untar(
  source: AsyncIterable<Buffer>,
  name = 'a file of the backup',
): AsyncGenerator<TarMember, void, undefined> {
  await using bytes = new ByteReader(source, name);
  let untrustedBlock = await nextHeaderBlock(bytes);
  while (untrustedBlock !== undefined) {
    const headers = await readHeaders(untrustedBlock, bytes);
    const { member, storedSize } = await readMember(
      headers.untrustedBlock,
      headers.attributes,
      bytes,
    );
    const end = bytes.position + storedSize;
    yield member;
    await bytes.skip(end - bytes.position + paddingOf(storedSize));
    bytes.name = name;
    untrustedBlock = await nextHeaderBlock(bytes);
  }
}

/** The next block that is not zeros, or undefined at the end of a complete tar. */
async function nextHeaderBlock(bytes: ByteReader): Promise<Buffer | undefined> {
  for (let zeros = 0; zeros <= MOST_ZEROS; zeros += BLOCK) {
    if (zeros >= 2 * BLOCK && (await bytes.ended())) return undefined;
    const untrustedBlock = await bytes.exact(BLOCK);
    if (!isZero(untrustedBlock)) return untrustedBlock;
  }
  throw new DamagedError(`${bytes.name} continues with nothing but zeros`);
}

interface MemberHeaders {
  /** The block that begins the member itself. */
  readonly untrustedBlock: Buffer;
  readonly attributes: PaxAttributes;
}

/** The headers of a member. There may be one of each kind, so their total size is bounded. */
async function readHeaders(untrustedFirstBlock: Buffer, bytes: ByteReader): Promise<MemberHeaders> {
  let untrustedRecords: PaxRecord[] = [];
  let seen = '';
  let untrustedBlock = untrustedFirstBlock;
  let { type, size } = parseTarHeader(untrustedBlock, bytes.name);
  while ('xgLKV'.includes(type)) {
    if (seen.includes(type) || size > LARGEST_ATTRIBUTES) {
      throw new DamagedError(`${bytes.name} is damaged: it repeats a header, or has a huge one`);
    }
    seen += type;
    untrustedRecords = untrustedRecords.concat(await readRecords(type, size, bytes));
    untrustedBlock = await bytes.exact(BLOCK);
    ({ type, size } = parseTarHeader(untrustedBlock, bytes.name));
  }
  return { untrustedBlock, attributes: new PaxAttributes(untrustedRecords, bytes.name) };
}

/** The contents of such a header; GNU tar's long names (`L`, `K`) as pax records. */
async function readRecords(type: string, size: number, bytes: ByteReader): Promise<PaxRecord[]> {
  const untrustedBytes = await bytes.exact(size);
  await bytes.skip(paddingOf(size));
  switch (type) {
    case 'L':
      return [['path', text(untrustedBytes)]];
    case 'K':
      return [['linkpath', text(untrustedBytes)]];
    case 'x':
      return parsePax(untrustedBytes, bytes.name);
    case 'g':
      checkGlobalRecords(parsePax(untrustedBytes, bytes.name), bytes.name);
      return [];
    default:
      return []; // V: the label of a volume
  }
}
