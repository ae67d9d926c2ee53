import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { DamagedError, FailedError, RefusedError } from '../../../shared/errors.ts';
import { FilterError, filter } from './filter.ts';

/** The filters that coffer compresses with, and their arguments: all cores, quiet. */
const COMPRESSORS = {
  zstd: ['-T0', '-q', '-c'],
  gzip: ['-n', '-c'],
  xz: ['-T0', '-q', '-c'],
  bzip2: ['-q', '-c'],
} as const;
export type CompressionFilter = keyof typeof COMPRESSORS;
export const COMPRESSION_FILTERS = Object.keys(COMPRESSORS) as CompressionFilter[];

/**
 * How each program decompresses. `xz` and `zstd` would take as much memory as the data asks for: gigabytes for
 * a few bytes. 128 MiB are enough for their highest regular levels (`zstd --ultra -22`; `xz -9` needs 65). The
 * others take less than 10 MiB, whatever the data.
 */
const DECOMPRESSING = {
  zstd: ['-d', '-c', '-M128MiB'],
  gzip: ['-d', '-c'],
  xz: ['-d', '-c', '--memlimit-decompress=128MiB'],
  bzip2: ['-d', '-c'],
  lz4: ['-d', '-c'],
  lzop: ['-d', '-c'],
} as const;
/** Their messages when they would need more, in the locale C. */
const WANTS_MEMORY = /memory usage limit|too much memory|window size larger/i;

/**
 * The filters that backups name, and the program that decompresses each: the output of parallel variants can
 * be read by the plain programs, which are installed everywhere.
 */
const DECOMPRESSORS: ReadonlyMap<string, keyof typeof DECOMPRESSING> = new Map([
  ['zstd', 'zstd'],
  ['zstdmt', 'zstd'],
  ['gzip', 'gzip'],
  ['pigz', 'gzip'],
  ['bzip2', 'bzip2'],
  ['pbzip2', 'bzip2'],
  ['xz', 'xz'],
  ['pixz', 'xz'],
  ['lzma', 'xz'],
  ['lz4', 'lz4'],
  ['lzop', 'lzop'],
]);
/** The names under which backups may have been compressed. */
export const DECOMPRESSIBLE = [...DECOMPRESSORS.keys()];

/** Compression levels and numbers of cores, which do not matter for decompression. */
const HARMLESS_ARGUMENT = /^(-[0-9]{1,2}|--(fast|best|ultra)(=[0-9]{1,3})?|-[Tp][0-9]{1,3})$/;

/** Throws RefusedError when the program of a filter is not installed. */
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

/** `source`, compressed, or unchanged without a filter. Throws FilterError. */
export function compress(
  name: CompressionFilter | undefined,
  source: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  if (name === undefined) return source;
  return filter(name, COMPRESSORS[name], source, signal);
}

/**
 * The filter that a command like `xz -0` or `/usr/bin/lz4` compresses with, as `qvm-backup -Z` accepts them.
 * Undefined if coffer cannot decompress it. The command is never run: its name selects one of the programs
 * that coffer starts with its own arguments.
 */
export function filterIn(untrustedCommand: string): string | undefined {
  const [program = '', ...args] = untrustedCommand.split(' ').filter((word) => word !== '');
  const name = program.replace(/^(\/usr)?\/bin\//, '');
  const isKnown = DECOMPRESSORS.has(name) && args.every((arg) => HARMLESS_ARGUMENT.test(arg));
  return isKnown ? name : undefined;
}

/**
 * `source`, decompressed, or unchanged without a filter. The input is authenticated, so if the filter fails on
 * it, the backup is invalid or cut short: DamagedError. A program that is missing or was killed is a
 * FilterError, and data that would take too much memory a FailedError.
 */
export function decompress(
  name: string | undefined,
  source: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  return name === undefined ? source : decompressed(name, source, signal);
}

async function* decompressed(
  name: string,
  source: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const program = DECOMPRESSORS.get(name);
  if (program === undefined) {
    throw new DamagedError(`coffer does not know the compression filter ${name} of this backup`);
  }
  try {
    yield* filter(program, DECOMPRESSING[program], source, signal);
  } catch (error) {
    if (!(error instanceof FilterError) || !error.isOfItsInput) throw error;
    if (WANTS_MEMORY.test(error.message)) throw wantsMemory(program, error);
    throw new DamagedError(`the backup's data cannot be decompressed: ${error.message}`, {
      cause: error,
    });
  }
}

function wantsMemory(program: string, cause: Error): FailedError {
  return new FailedError(
    `${program} needs more than the 128 MiB of memory that coffer allows for decompressing this backup. Neither Qubes ` +
      `nor coffer makes such backups: if you trust where it was made, recover it by hand (docs/recovery.md)`,
    { cause },
  );
}
