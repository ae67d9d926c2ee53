import { FailedError } from '../../../shared/errors.ts';
import type { RunForLines } from '../../../shared/run-program.ts';
import type { Mapping } from './mapping.ts';

/** The program that lists a file's extents (FIEMAP): Node cannot. */
const FILEFRAG = 'filefrag';

/** `   1:      256..     511:      34816..     35071:    256:      34600: last,shared,eof` */
const EXTENT = /^ *\d+: *(\d+)\.\. *(\d+): *(\d+)\.\. *(\d+): *(\d+): *(?:\d+:)? *([a-z_0-9,]*)$/;
/** `File size of NAME is 1073741824 (262144 blocks of 4096 bytes)` */
const BLOCK_SIZE = /^File size of .* is \d+ \(\d+ blocks? of (\d+) bytes\)$/;

/**
 * `Filesystem type is: 58465342`. Supported are the magic numbers of XFS and btrfs, where all places belong to one
 * address space, and a shared extent is never written to.
 */
const FILE_SYSTEM = /^Filesystem type is: ([0-9a-f]+)$/;
const UNDERSTOOD = ['58465342', '9123683e'];

/** The flags of an extent whose place is exactly known. */
const PLAIN = new Set(['last', 'eof', 'shared', 'merged', '']);
/** The flag of an extent that reads as zeros, although it has a place. */
const UNWRITTEN = 'unwritten';
const UNWRITTEN_STAMP = 1;

/** An extent of a file, as FIEMAP reports it. */
export interface FileExtent extends Mapping {
  /** Whether other files share it: then removing this file does not free it. */
  readonly isShared: boolean;
}

/**
 * The extents of the file at `path`, from `filefrag -s -v` of e2fsprogs, which first writes out what is still in
 * memory. Extents that are compressed, encrypted, inline, not yet placed, not aligned to blocks, or have an unknown
 * flag, have no `place`. Throws FailedError for a file system other than XFS and btrfs, and for output that does not
 * list the extents of a file in ascending order.
 */
export async function* extentsOf(
  path: string,
  runForLines: RunForLines,
): AsyncGenerator<readonly FileExtent[], void, undefined> {
  let blockSize: number | undefined;
  let isUnderstood = false;
  let end = 0;
  for await (const lines of runForLines(FILEFRAG, ['-s', '-v', '--', path])) {
    const extents: FileExtent[] = [];
    for (const line of lines) {
      const fields = EXTENT.exec(line);
      if (fields === null) {
        isUnderstood ||= UNDERSTOOD.includes(FILE_SYSTEM.exec(line)?.[1] ?? '');
        blockSize ??= numberIn(BLOCK_SIZE.exec(line)?.[1]);
        continue;
      }
      const extent = isUnderstood ? extentFrom(fields, blockSize ?? 0) : undefined;
      if (extent === undefined || extent.offset < end) throw notExtents(path, line);
      end = extent.offset + extent.length;
      extents.push(extent);
    }
    yield extents;
  }
  if (blockSize === undefined || !isUnderstood) throw notExtents(path, 'no XFS, no btrfs');
}

function extentFrom(fields: RegExpExecArray, blockSize: number): FileExtent | undefined {
  const [first = 0, last = 0, from = 0, to = 0, count = 0] = fields.slice(1, 6).map(Number);
  const flags = (fields[6] ?? '').split(',');
  const isShared = flags.includes('shared');
  const extent = { offset: first * blockSize, length: count * blockSize, isShared };
  const isCoherent =
    count > 0 &&
    last - first === count - 1 &&
    to - from === count - 1 &&
    Number.isSafeInteger((last + 1) * blockSize) &&
    Number.isSafeInteger((to + 1) * blockSize);
  if (!isCoherent || blockSize === 0) return undefined;
  const isUnwritten = flags.includes(UNWRITTEN);
  const isExact = flags.every((flag) => PLAIN.has(flag) || flag === UNWRITTEN);
  return {
    ...extent,
    place: isExact ? from * blockSize : undefined,
    stamp: isUnwritten ? UNWRITTEN_STAMP : 0,
  };
}

function numberIn(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

function notExtents(path: string, line: string): FailedError {
  return new FailedError(
    `${FILEFRAG} answered about ${path} in a form that coffer does not know: ${line}`,
  );
}
