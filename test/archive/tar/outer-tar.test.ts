import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { extract, pack } from 'tar-stream';
import { describe, expect, it, onTestFinished } from 'vitest';
import { encodeHeader } from '../../../dom0-agent/archive/tar/header-block.ts';
import { OuterTarReader } from '../../../dom0-agent/archive/tar/outer-reader.ts';
import { DamagedError } from '../../../shared/errors.ts';
import { GiB } from '../../../shared/sizes.ts';
import { inputOf } from '../memory.ts';
import { tarOf } from './tar-of.ts';

type Members = readonly (readonly [name: string, bytes: Buffer])[];

const name = fc
  .array(fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,20}$/), { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join('/'));
const bytes = fc.uint8Array({ maxLength: 2000 }).map((array) => Buffer.from(array));
const members = fc.array(fc.tuple(name, bytes), { maxLength: 8 });

async function read(tar: Buffer, canonical: boolean, seekable = false): Promise<Members> {
  const reader = new OuterTarReader(inputOf(tar, seekable, 700), { canonical });
  const found: (readonly [string, Buffer])[] = [];
  for (let member = await reader.next(); member; member = await reader.next()) {
    found.push([member.name, Buffer.from(await member.bytes(1e6))]);
  }
  return found;
}

describe('the outer tar', () => {
  it('is read as it was written', async () => {
    await fc.assert(
      fc.asyncProperty(members, async (all) => {
        expect(await read(await tarOf(all), true)).toEqual(all);
      }),
    );
  });

  it('is read by tar-stream', async () => {
    await fc.assert(
      fc.asyncProperty(members, async (all) => {
        const found: (readonly [string, Buffer])[] = [];
        for await (const entry of Readable.from([await tarOf(all)]).pipe(extract())) {
          const chunks: Buffer[] = [];
          for await (const chunk of entry as AsyncIterable<Buffer>) chunks.push(chunk);
          found.push([entry.header.name, Buffer.concat(chunks)]);
        }
        expect(found).toEqual(all);
      }),
    );
  });

  it('is listed by GNU tar', async () => {
    const tar = await tarOf([
      ['backup-header', Buffer.from('format=coffer-1\n')],
      ['vm5/private.img.000', randomBytes(100_000)],
    ]);
    const listing = execFileSync('tar', ['-tvf', '-'], { input: tar, encoding: 'utf8' });
    expect(listing).toMatch(/-rw------- 0\/0 +16 1970-01-01 .* backup-header\n.* 100000 .*\.000\n/);
  });

  it('of the official tools, with zero blocks and pax times, is read if it need not be canonical', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'coffer-outer-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    await mkdir(join(directory, 'vm5'));
    await writeFile(join(directory, 'vm5/empty.000'), 'content');
    const args = ['--posix', '-C', directory, '-cO', 'vm5/empty.000'];
    const once = execFileSync('tar', args);
    const tar = Buffer.concat([once, once]);
    const member = ['vm5/empty.000', Buffer.from('content')];
    expect(await read(tar, false)).toEqual([member, member]);
    expect(await read(tar, false, true)).toEqual([member, member]);
    await expect(read(tar, true)).rejects.toThrow(DamagedError);
  });

  it.each([
    ['an absolute name', { name: '/etc/passwd' }],
    ['a name that leads out of it', { name: 'vm5/../../etc/passwd' }],
    ['a name with control characters', { name: 'vm5/\u001b[2J' }],
    ['a name with an empty part', { name: 'vm5//x' }],
    ['a symbolic link', { name: 'link', type: 'symlink', linkname: '/etc/passwd' }],
    ['a directory', { name: 'directory', type: 'directory' }],
    ['a pax name', { name: 'x', pax: { path: 'y' } }],
    ['a pax size', { name: 'x', pax: { size: '5' } }],
    ['a long pax header', { name: 'x', pax: { mtime: '1'.repeat(5000) } }],
  ] as const)('with %s is refused', async (_, header) => {
    const hostile = pack();
    if ('type' in header) hostile.entry({ ...header });
    else hostile.entry({ ...header }, 'content');
    hostile.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of hostile as AsyncIterable<Buffer>) chunks.push(chunk);
    await expect(read(Buffer.concat(chunks), false)).rejects.toThrow(DamagedError);
  });

  it('whose header claims 9 GiB, with a few bytes after it, is refused, canonical or not', async () => {
    const tar = Buffer.concat([await encodeHeader('x', 9 * GiB), Buffer.alloc(5000)]);
    await expect(read(tar, false)).rejects.toThrow(DamagedError);
    await expect(read(tar, true)).rejects.toThrow(DamagedError);
    await expect(read(tar, true, true)).rejects.toThrow(DamagedError);
  });

  it('is refused if a member is larger than allowed, before it is read', async () => {
    const reader = new OuterTarReader(inputOf(await tarOf([['x', randomBytes(5000)]]), true));
    const member = await reader.next();
    await expect(member?.bytes(4999)).rejects.toThrow(/claims/);
    await expect(member?.bytesIn(Buffer.alloc(4999))).rejects.toThrow(/claims/);
  });
});
