import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ByteReader } from '../../shared/byte-reader.ts';
import { DamagedError } from '../../shared/errors.ts';
import { chunked, collect, pattern } from '../archive/tar/gnu-tar.ts';

test('a byte reader gives the same bytes however they are split and requested', async () => {
  const content = pattern(5000);
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 600 }),
      fc.array(fc.tuple(fc.constantFrom('exact', 'chunks', 'skip'), fc.nat(700))),
      async (chunk, requests) => {
        await using bytes = new ByteReader(chunked(content, chunk));
        for (const [method, wanted] of requests) {
          const from = bytes.position;
          const length = Math.min(wanted, content.length - from);
          const expected = content.subarray(from, from + length);
          if (method === 'exact') expect((await bytes.exact(length)).equals(expected)).toBe(true);
          else if (method === 'skip') await bytes.skip(length);
          else expect((await collect(bytes.chunks(length))).equals(expected)).toBe(true);
          expect(bytes.position).toBe(from + length);
        }
        expect(await bytes.ended()).toBe(bytes.position === content.length);
      },
    ),
  );
});

test('a byte reader does not copy bytes that are within one chunk', async () => {
  // Not in Node's pool, where a copy would be.
  const content = Buffer.alloc(1000, 'abc');
  await using bytes = new ByteReader(chunked(content, 500));
  for (let i = 0; i < 2; i++) expect((await bytes.exact(100)).buffer).toBe(content.buffer);
  expect((await bytes.atMost(1000)).length).toBe(300);
});

test.each([
  ['exact', (bytes: ByteReader) => bytes.exact(11)],
  ['skip', (bytes: ByteReader) => bytes.skip(11)],
  ['chunks', (bytes: ByteReader) => collect(bytes.chunks(11))],
])(
  'a byte reader fails with an error that names the file if it ends too early (%s)',
  async (_, request) => {
    await using bytes = new ByteReader(chunked(pattern(10), 3), 'vm5/private.img');
    await expect(request(bytes)).rejects.toThrow(
      new DamagedError('vm5/private.img ends too early: it is cut short'),
    );
  },
);

test('a byte reader ignores empty chunks, and closes its source once', async () => {
  let returned = 0;
  async function* source(): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        yield await Promise.resolve(Buffer.alloc(0));
        yield Buffer.from('ab');
      }
    } finally {
      returned++;
    }
  }
  const bytes = new ByteReader(source());
  expect((await bytes.exact(5)).toString()).toBe('ababa');
  await bytes[Symbol.asyncDispose]();
  await bytes[Symbol.asyncDispose]();
  expect(returned).toBe(1);
});
