import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { decompress, filterIn } from '../../../dom0-agent/archive/compress/compression.ts';
import { drain } from '../../../dom0-agent/archive/drain.ts';
import { DamagedError, FailedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';

const never = new AbortController().signal;
const data = Buffer.alloc(3 * MiB, 'some data, and some more. ');
const made = (program: string, ...args: string[]): Buffer =>
  execFileSync(program, args, { input: data, maxBuffer: 2 * data.length });

async function* source(bytes: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(bytes);
}

async function lengthOf(filter: string, compressed: Buffer): Promise<number> {
  let length = 0;
  for await (const { length: more } of decompress(filter, source(compressed), never))
    length += more;
  return length;
}

describe('data to decompress', () => {
  // The presets of each program that need the most memory.
  it.each([
    ['xz', ['-9e', '-c']],
    ['lzma', ['--format=lzma', '-9e', '-c']],
    ['pixz', ['-T0', '-9', '-c']],
    ['zstd', ['--ultra', '-22', '-q', '-c']],
    ['zstd', ['--long=27', '-q', '-c']],
    ['gzip', ['-9', '-c']],
    ['bzip2', ['-9', '-c']],
    ['lz4', ['-9', '-c']],
    ['lzop', ['-9', '-c']],
  ] as const)('may have been compressed by %s %s', async (filter, args) => {
    const program = ['lzma', 'pixz'].includes(filter) ? 'xz' : filter;
    expect(await lengthOf(filter, made(program, ...args))).toBe(data.length);
  });

  it.each([
    ['xz', ['--lzma2=preset=0,dict=256MiB', '-c']],
    ['lzma', ['--format=lzma', '--lzma1=preset=0,dict=256MiB', '-c']],
    ['zstd', ['--long=28', '-q', '-c']],
  ] as const)(
    'is refused if %s would need more than 128 MiB of memory for it: %s',
    async (filter, args) => {
      const refused = drain(
        decompress(filter, source(made(filter === 'lzma' ? 'xz' : filter, ...args)), never),
      );
      await expect(refused).rejects.toThrow(FailedError);
      await expect(refused).rejects.toThrow(/more than the 128 MiB .* by hand/);
    },
  );

  it('is refused as damaged if it is truncated', async () => {
    for (const filter of ['xz', 'zstd', 'gzip', 'bzip2', 'lz4', 'lzop']) {
      const cut = made(filter, '-c').subarray(0, -5);
      await expect(lengthOf(filter, cut)).rejects.toThrow(DamagedError);
    }
  });
});

describe('the compression command in the header of a backup', () => {
  it.each([
    ['xz', 'xz'],
    ['xz -0', 'xz'],
    ['/usr/bin/lz4 -9', 'lz4'],
    ['/bin/gzip --fast', 'gzip'],
    ['zstd -T0 --ultra -22', 'zstd'],
    ['pigz  -p4 --best', 'pigz'],
  ])('is recognised if its arguments only choose how to compress: %s', (command, name) => {
    expect(filterIn(command)).toBe(name);
  });

  it.each([
    ...[
      '',
      ' ',
      '-0',
      'cat',
      './xz',
      '/tmp/xz',
      '../bin/xz',
      '/usr/bin/../../tmp/xz',
      'XZ',
      'xz\n-0',
    ],
    ...[
      'xz; id',
      'xz -0;id',
      'xz $(id)',
      'xz `id`',
      'xz | sh',
      'xz &',
      'xz > x',
      'xz\u0000',
      'xz\t-0',
    ],
    ...[
      'xz /etc/passwd',
      'xz --files=x',
      'xz -S x',
      'gzip -k',
      'zstd --patch-from=x',
      'lz4 -m',
      'xz -0 --',
    ],
    ...[
      'xz -d',
      'sh -c xz',
      'env xz',
      'xz -1234',
      '--fast',
      'constructor',
      '__proto__',
      'toString',
    ],
  ])('is not recognised if it could do anything else: %j', (command) => {
    expect(filterIn(command)).toBeUndefined();
  });
});
