import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { DamagedError, RefusedError } from '../../shared/errors.ts';
import { FilterError, filter } from './filter.ts';

/** The filters that coffer compresses with, and how each is called: all cores, nothing printed. */
const COMPRESSORS = {
  zstd: ['-T0', '-q', '-c'],
  gzip: ['-n', '-c'],
  xz: ['-T0', '-q', '-c'],
  bzip2: ['-q', '-c'],
} as const;
export type CompressionFilter = keyof typeof COMPRESSORS;
export const COMPRESSION_FILTERS = Object.keys(COMPRESSORS) as CompressionFilter[];

/**
 * The filters that backups name, and the program that undoes each (`<program> -d -c`): the parallel
 * ones write what their plain namesakes read, which are installed everywhere.
 */
const DECOMPRESSORS: ReadonlyMap<string, string> = new Map([
  ['zstd', 'zstd'],
  ['zstdmt', 'zstd'],
  ['gzip', 'gzip'],
  ['pigz', 'gzip'],
  ['bzip2', 'bzip2'],
  ['pbzip2', 'bzip2'],
  ['xz', 'xz'],
  ['pixz', 'xz'],
  ['lzma', 'xz'],
]);

/** Throws RefusedError when the program of a filter is not on this machine. */
export async function requireCompressor(name: CompressionFilter): Promise<void> {
  for (const directory of (process.env['PATH'] ?? '').split(delimiter)) {
    const isThere = await access(join(directory, name), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return;
  }
  throw new RefusedError(
    `the program ${name} is not installed: install it, or choose another with --compress-filter`,
  );
}

/** `source`, compressed. Throws FilterError. */
export function compress(
  name: CompressionFilter,
  source: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  return filter(name, COMPRESSORS[name], source, signal);
}

/** Whether `name`, from the header of a backup, is a filter that coffer can undo. */
export function canDecompress(name: string): boolean {
  return DECOMPRESSORS.has(name);
}

/**
 * `source`, decompressed. What comes in is authenticated, so that a filter that fails on it means a
 * backup that was made badly or is cut short: DamagedError. A program that is missing or was killed is a
 * FilterError.
 */
export async function* decompress(
  name: string,
  source: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const program = DECOMPRESSORS.get(name);
  if (program === undefined) {
    throw new DamagedError(`coffer does not know the compression filter ${name} of this backup`);
  }
  try {
    yield* filter(program, ['-d', '-c'], source, signal);
  } catch (error) {
    if (!(error instanceof FilterError) || !error.isOfItsInput) throw error;
    throw new DamagedError(`the backup's data cannot be decompressed: ${error.message}`, {
      cause: error,
    });
  }
}
