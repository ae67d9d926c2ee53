import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { OuterMemberBlocks } from '../archive/official-archives.ts';
import { WorkDirectory, archiveOf, membersOf, noise } from '../archive/official-archives.ts';
import { coffer1Backup, smallFile } from './backups.ts';
import { Recovery, SHELLS } from './script.ts';

const CONTENT = noise(250_000);
const IMAGE = 'vm5/private.img';
const small = { compressionFilter: undefined };
const backup = await coffer1Backup(
  [smallFile(IMAGE, CONTENT), smallFile('vm6/notes.txt', 'a')],
  small,
);
const anotherBackup = await coffer1Backup(
  [smallFile(IMAGE, CONTENT), smallFile('vm6/notes.txt', 'a')],
  small,
);
const members = membersOf(backup);
const indexOf = (name: string): number => members.findIndex((member) => member.name === name);

/** A copy of the backup with one bit flipped. */
function flipped(offset: number): Buffer {
  const copy = Buffer.from(backup);
  copy.writeUInt8(copy.readUInt8(offset) ^ 1, offset);
  return copy;
}

/** A copy of the backup with a bit flipped in the content of a member. */
function flippedIn(name: string): Buffer {
  const content = members[indexOf(name)]?.content;
  if (content === undefined) throw new Error(`no member ${name}`);
  return flipped(content.byteOffset - backup.byteOffset + Math.floor(content.length / 2));
}

/** The backup with its members changed by `change`. */
function rearranged(change: (copy: OuterMemberBlocks[]) => void): Buffer {
  const copy = [...members];
  change(copy);
  return archiveOf(copy);
}

/** A member under another name, with a valid tar header. */
function renamed(member: OuterMemberBlocks | undefined, name: string): OuterMemberBlocks {
  if (member === undefined) throw new Error('no such member');
  const blocks = Buffer.from(member.blocks);
  blocks.fill(0, 0, 100).write(name, 0, 'latin1');
  blocks.fill(' ', 148, 156);
  const sum = blocks.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  blocks.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return { ...member, name, blocks };
}

const part = indexOf('data.001');
const DAMAGES: readonly [string, Buffer][] = [
  ['a changed header', flippedIn('backup-header')],
  ['a changed MAC of the header', flippedIn('backup-header.hmac')],
  ['a changed part', flippedIn('data.001')],
  ['a changed MAC of a part', flippedIn('data.001.hmac')],
  ['a changed MAC of a part that is not asked for', flippedIn('vm6/notes.txt.000.hmac')],
  ['a changed manifest', flippedIn('manifest.000')],
  ['a changed MAC of the manifest', flippedIn('manifest.000.hmac')],
  ['only its first half', backup.subarray(0, backup.length / 2)],
  ['no manifest', rearranged((copy) => copy.splice(-2))],
  ['a missing block at its end', backup.subarray(0, -512)],
  ['no end', backup.subarray(0, -1024)],
  ['a flipped bit in the zeros at its end', flipped(backup.length - 1)],
  ['zeros in place of its second half', Buffer.from(backup).fill(0, backup.length / 2)],
  ['no bytes', Buffer.alloc(0)],
  ['a missing part', rearranged((copy) => copy.splice(part, 2))],
  ['a missing last part', rearranged((copy) => copy.splice(indexOf('data.003'), 2))],
  ['a missing file', rearranged((copy) => copy.splice(indexOf('vm6/notes.txt.000'), 2))],
  ['a missing MAC', rearranged((copy) => copy.splice(part + 1, 1))],
  ['a part twice', rearranged((copy) => copy.splice(part, 0, ...members.slice(part, part + 2)))],
  [
    'two swapped parts',
    rearranged((copy) =>
      copy.splice(part, 4, ...copy.slice(part + 2, part + 4), ...copy.slice(part, part + 2)),
    ),
  ],
  [
    'the swapped contents of two parts',
    rearranged((copy) => {
      const [first, firstMac, second, secondMac] = members.slice(part, part + 4);
      copy.splice(
        part,
        4,
        renamed(second, 'data.001'),
        renamed(secondMac, 'data.001.hmac'),
        renamed(first, 'data.002'),
        renamed(firstMac, 'data.002.hmac'),
      );
    }),
  ],
  [
    'a part of another backup with the same passphrase',
    rearranged((copy) => copy.splice(part, 2, ...membersOf(anotherBackup).slice(part, part + 2))),
  ],
  [
    'the manifest of another backup with the same passphrase',
    rearranged((copy) => copy.splice(-2, 2, ...membersOf(anotherBackup).slice(-2))),
  ],
  ...[
    '../../out.img',
    '/tmp/out.img',
    'vm5/../../x',
    'vm5/a b',
    'vm5/a\nb',
    '-x',
    '\u001b[2J\u009b',
  ].map((name): [string, Buffer] => [
    `a member called ${JSON.stringify(name)}`,
    rearranged((copy) => {
      copy[part] = renamed(copy[part], `${name}.001`);
      copy[part + 1] = renamed(copy[part + 1], `${name}.001.hmac`);
    }),
  ]),
];

describe('recover.sh refuses a backup with', () => {
  it.each(DAMAGES)('%s', (_, damaged) => {
    using recovery = new Recovery(damaged);
    const { status, stderr } = recovery.recover(IMAGE);
    expect({ status, stderr }).toMatchObject({ status: 3 });
    expect(stderr).toMatch(/^recover\.sh: [\x20-\x7e]+\n$/);
    expect(recovery.recovered()).toEqual([]);
    expect(recovery.leftovers()).toEqual([]);
  });

  it('any flipped bit, or recovers what was backed up', () => {
    const anyOffset = fc.integer({ min: 0, max: backup.length - 1 });
    fc.assert(
      fc.property(anyOffset, (offset) => {
        using recovery = new Recovery(flipped(offset));
        const { status } = recovery.recover();
        if (status === 0) return recovery.read(IMAGE).equals(CONTENT);
        return status === 3 && recovery.recovered().every((file) => !file.includes('partial'));
      }),
      { numRuns: 25 },
    );
  });

  it.each([
    ['kdf-n=16384', 'kdf-n=33554'],
    ['kdf-n=16384', 'kdf-n=99999'],
    ['kdf-r=8', 'kdf-r=9'],
    ['kdf-p=1', 'kdf-p=8'],
    ['part-size=65536', 'part-size=9e999'],
    ['part-size=65536', 'part-size=99999'],
    ['grain=65536', 'grain=65537'],
    ['kind=backup', 'kind=kitten'],
    ['compression-filter=none', 'compression-filter=nope'],
    ['kdf=scrypt', 'kdf=nothng'],
    ['format=coffer-1', 'format=coffer-2'],
    ['encrypted=True', 'encrypted=true'],
  ])('%s in its header replaced by %s, before it derives a key', (told, forged) => {
    using recovery = new Recovery(
      Buffer.from(backup.toString('latin1').replace(told, forged), 'latin1'),
    );
    const { status, stderr } = recovery.list();
    expect(status).toBe(3);
    expect(stderr).toMatch(/no valid|does not begin as a coffer-1 backup/);
  });

  it.each(SHELLS)('a damaged file, but recovers the others (%s)', async (shell) => {
    const [home, other] = ['dom0-home/home', 'vm6/private.img'];
    using work = new WorkDirectory();
    const tar = work.member(`${home}/noise`, noise(200_000));
    const many = await coffer1Backup(
      [
        smallFile('vm5/notes.txt', 'a note'),
        smallFile(IMAGE, CONTENT),
        smallFile(other, CONTENT),
        { kind: 'tree', path: home, tar: piecesOf(tar) },
      ],
      small,
    );
    for (const name of ['vm5/notes.txt.000', 'data.001', `${home}.001`]) {
      const content = membersOf(many).find((member) => member.name === name)?.content;
      content?.writeUInt8(content.readUInt8(3) ^ 1, 3);
    }
    using recovery = new Recovery(many, shell);
    const { status, stdout, stderr } = recovery.recover();
    expect(status).toBe(3);
    expect(stderr).toBe(
      `recover.sh: vm5/notes.txt was not recovered: vm5/notes.txt.000 was damaged or tampered with
recover.sh: ${home} was not recovered: ${home}.001 was damaged or tampered with
recover.sh: ${IMAGE} was not recovered: data.001 was damaged or tampered with
`,
    );
    expect(stdout).toBe(`./out/qubes.xml\n./out/${other}\n`);
    expect(recovery.recovered()).toEqual(['qubes.xml', other]);
    expect(recovery.leftovers()).toEqual([]);
  });

  it('a wrong passphrase', () => {
    using recovery = new Recovery(backup);
    recovery.passphrase('a wrong one');
    const { status, stderr } = recovery.recover();
    expect(status).toBe(3);
    expect(stderr).toContain('the passphrase is wrong');
    expect(recovery.recovered()).toEqual([]);
  });

  it('another format', () => {
    using recovery = new Recovery(Buffer.concat([Buffer.from('PK'), noise(20_000)]));
    const { status, stderr } = recovery.list();
    expect(status).toBe(3);
    expect(stderr).toContain('does not begin as a coffer-1 backup');
  });
});

async function* piecesOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(bytes);
}
