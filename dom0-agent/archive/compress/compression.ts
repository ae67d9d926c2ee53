import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { DamagedError, FailedError, RefusedError } from '../../../shared/errors.ts';
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
 * How each program decompresses. `xz` and `zstd` would take the memory that the data asks for, gigabytes from a few
 * bytes; 128 MiB are what the most that either compresses with by itself needs (`zstd --ultra -22`; `xz -9`: 65).
 * The others take less than 10 MiB, whatever the data.
 */
const DECOMPRESSING = {
  zstd: ['-d', '-c', '-M128MiB'],
  gzip: ['-d', '-c'],
  xz: ['-d', '-c', '--memlimit-decompress=128MiB'],
  bzip2: ['-d', '-c'],
  lz4: ['-d', '-c'],
  lzop: ['-d', '-c'],
} as const;
/** What they say then, in the locale C. */
const WANTS_MEMORY = /memory usage limit|too much memory|window size larger/i;

/**
 * The filters that backups name, and the program that undoes each: the parallel ones write what their plain
 * namesakes read, which are installed everywhere.
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

/** How hard to compress, and on how many cores. Undoing it needs neither. */
const HARMLESS_ARGUMENT = /^(-[0-9]{1,2}|--(fast|best|ultra)(=[0-9]{1,3})?|-[Tp][0-9]{1,3})$/;

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

/** `source`, compressed, or as it is without a filter. Throws FilterError. */
export function compress(
  name: CompressionFilter | undefined,
  source: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncIterable<Buffer> {
  if (name === undefined) return source;
  return filter(name, COMPRESSORS[name], source, signal);
}

/**
 * The filter that a command like `xz -0` or `/usr/bin/lz4` compresses with, as `qvm-backup -Z` takes them.
 * Undefined for any but those that coffer can undo. Nothing of the command is ever run: its name chooses
 * among programs that coffer starts in its own way.
 */
export function filterIn(untrustedCommand: string): string | undefined {
  const [program = '', ...args] = untrustedCommand.split(' ').filter((word) => word !== '');
  const name = program.replace(/^(\/usr)?\/bin\//, '');
  const isKnown = DECOMPRESSORS.has(name) && args.every((arg) => HARMLESS_ARGUMENT.test(arg));
  return isKnown ? name : undefined;
}

/**
 * `source`, decompressed, or as it is without a filter. What comes in is authenticated, so that a filter that fails
 * on it means a backup that was made badly or is cut short: DamagedError. A program that is missing or was killed is
 * a FilterError, and data that would take too much memory a FailedError.
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
    `the backup's data asks ${program} for more than the 128 MiB of memory that coffer lets it have, which neither ` +
      `Qubes nor coffer makes it do: if you trust where the backup was made, recover it by hand (docs/recovery.md)`,
    { cause },
  );
}
