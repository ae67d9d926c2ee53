import { describe, expect, test } from 'vitest';
import { contentOf } from '../content-of.ts';
import {
  CofferError,
  DamagedError,
  FailedError,
  WrongPassphraseError,
} from '../../../shared/errors.ts';
import { innerTarsOf, readNothingElse } from '../authentic-prefix.ts';
import { outcomeOf, outcomeOfReading } from '../outcome-of-reading.ts';
import {
  type OuterMemberBlocks,
  WorkDirectory,
  archiveOf,
  expectedOfFixtures,
  fixture,
  inputOf,
  membersOf,
  noise,
  open,
  readAll,
  sha256,
} from '../official-archives.ts';
import { type Qubes3Recipe, makeQubes3, membersWithMacs } from './make-qubes3.ts';

const PASSPHRASE = 'a long one';
const SPARSE = Buffer.concat([
  ...[1, 2, 3, 4, 5].flatMap((i) => [noise(8192, String(i)), Buffer.alloc(2 ** 16)]),
  noise(30_000),
]);
const FILES = {
  'vm5/private.img': SPARSE,
  'vm5/firewall.xml': '<f/>',
  'vm6/private.img': noise(20_000),
};
const HASHES = Object.fromEntries(
  Object.entries(FILES).map(([path, content]) => [path, sha256(content)]),
);

async function contentsOf(recipe: Partial<Qubes3Recipe>): Promise<Record<string, string>> {
  const archive = makeQubes3({ version: 3, files: FILES, passphrase: PASSPHRASE, ...recipe });
  const { files } = await readAll(archive, recipe.passphrase ?? PASSPHRASE, false);
  return Object.fromEntries(files);
}

/** The outcome of reading it as a file, which must be that of reading it as a stream. */
const outcome = (bytes: Buffer, passphrase = PASSPHRASE): Promise<unknown> =>
  outcomeOfReading(bytes, passphrase);

describe('an archive of format 3, made with tar and openssl, is read', () => {
  const parts = { partSize: 16_384 };
  const small = { files: { 'vm5/private.img': 'data' } };
  const smallHashes = { 'vm5/private.img': sha256('data') };

  test.each([
    ['encrypted and compressed', { cipher: 'aes-256-cbc', filter: ['gzip', 'gzip', '-c'] }],
    ['encrypted', { cipher: 'aes-256-cbc' }],
    ['compressed', { filter: ['xz', 'xz', '-c'] }],
    ['compressed with bzip2', { filter: ['bzip2', 'bzip2', '-c'] }],
    ['plain', {}],
  ] as const)('if it is %s', async (_, recipe) => {
    expect(await contentsOf({ ...parts, ...recipe })).toEqual(HASHES);
  });

  test.each([
    'aes-128-cbc',
    'aes-192-cbc',
    'AES-256-CBC',
    'des-ede3-cbc',
    'camellia-256-cbc',
    'aes-256-ctr',
  ])('if it is encrypted with %s', async (cipher) => {
    expect(await contentsOf({ ...small, cipher })).toEqual(smallHashes);
  });

  test.each([
    'MD5',
    'SHA1',
    'SHA224',
    'sha256',
    'SHA384',
    'RIPEMD160',
    'SHA3-256',
    'BLAKE2b512',
    'SHA512-256',
  ])('with MACs of %s', async (mac) => {
    expect(await contentsOf({ ...small, mac })).toEqual(smallHashes);
  });

  test.each(['(stdin)', 'HMAC-SHA512(stdin)', 'SHA2-512(stdin)'])(
    'with MACs in the form %s',
    async (macLabel) => {
      expect(await contentsOf({ ...small, macLabel })).toEqual(smallHashes);
    },
  );

  test.each([
    'motörhead 🎸',
    `it's "quoted" \\ $HOME`,
    ' spaces  around ',
    '!a!b!',
    'x'.repeat(300),
  ])('under the passphrase %s', async (passphrase) => {
    const made = await contentsOf({ ...small, passphrase, cipher: 'aes-256-cbc' });
    expect(made).toEqual(smallHashes);
  });

  test('with paths that contain names of VMs, a whole template and a home', async () => {
    const files = {
      'appvms/work/private.img': 'data',
      'vm-templates/fedora/.': {
        'root.img': 'root',
        'private.img': 'private',
        'apps/x.desktop': 'x',
      },
      'dom0-home/user': { '.bashrc': 'alias', 'ä b': 'c' },
    };
    expect(Object.keys(await contentsOf({ files }))).toEqual(
      expect.arrayContaining([
        'appvms/work/private.img',
        'vm-templates/fedora/root.img',
        'vm-templates/fedora/private.img',
        'vm-templates/fedora/apps/x.desktop',
        'dom0-home/user/.bashrc',
      ]),
    );
  });

  test('with the expected header', async () => {
    const archive = makeQubes3({
      version: 3,
      files: {},
      passphrase: PASSPHRASE,
      cipher: 'aes-256-cbc',
      filter: ['gzip', 'gzip', '-c'],
    });
    const { header } = await open(inputOf(archive, true), PASSPHRASE);
    expect(header).toMatchObject({ format: 'qubes-3', encrypted: true, compressionFilter: 'gzip' });
  });

  // Blowfish is in openssl's legacy provider, which Node does not load.
  test.each([
    ['crypto-algorithm', 'bf-cbc'],
    ['crypto-algorithm', 'aes-256-gcm'],
    ['crypto-algorithm', 'no-cipher'],
    ['hmac-algorithm', 'whirlpool'],
    ['compression-filter', 'arj'],
  ])('unless its %s is %s, which is not supported', async (key, value) => {
    const fields = {
      version: '3',
      'hmac-algorithm': 'SHA512',
      'crypto-algorithm': 'aes-256-cbc',
      encrypted: 'True',
      compressed: 'True',
      'compression-filter': 'gzip',
      [key]: value,
    };
    const header = Object.entries(fields).map(([name, text]) => `${name}=${text}\n`);
    const archive = makeQubes3({
      version: 3,
      files: {},
      passphrase: PASSPHRASE,
      header: header.join(''),
    });
    const error = await outcome(archive);
    expect(error).toBeInstanceOf(FailedError);
    expect(String(error)).toContain(value);
  });
});

describe('an archive of format 2, made with tar -M and openssl,', () => {
  const parts = { version: 2, partSize: 40_960 } as const;

  test.each([
    ['encrypted and compressed', { cipher: 'aes-256-cbc', filter: ['gzip', ''] }],
    ['encrypted and compressed by openssl', { cipher: 'aes-256-cbc', filter: ['zlib', ''] }],
    ['encrypted', { cipher: 'aes-256-cbc' }],
    ['compressed', { filter: ['gzip', ''] }],
    ['plain', {}],
  ] as const)('is read if it is %s, with a header and without one', async (_, recipe) => {
    expect(await contentsOf({ ...parts, ...recipe })).toEqual(HASHES);
    expect(await contentsOf({ ...parts, ...recipe, header: false, mac: 'SHA1' })).toEqual(HASHES);
  });

  test('is recognised without a header, and is told apart from a wrong passphrase', async () => {
    const archive = makeQubes3({
      version: 2,
      files: {},
      passphrase: PASSPHRASE,
      cipher: 'aes-256-cbc',
      filter: ['gzip', ''],
      header: false,
      mac: 'SHA1',
    });
    const { header } = await open(inputOf(archive, false), PASSPHRASE);
    expect(header).toMatchObject({ format: 'qubes-2', encrypted: true, compressionFilter: 'gzip' });
    expect(await outcome(archive, 'another')).toBeInstanceOf(WrongPassphraseError);
  });

  test('is refused if a tar volume is missing or misplaced', async () => {
    const members = membersOf(makeQubes3({ files: FILES, passphrase: PASSPHRASE, ...parts }));
    const at = members.findIndex(({ name }) => name === 'vm5/private.img.001');
    const [part, mac, next, nextMac] = members.slice(at, at + 4);
    if (!part || !mac || !next || !nextMac) throw new Error('too few volumes');
    // The MACs of this format do not cover the names: only the tar volumes themselves show it.
    const swapped = members
      .with(at, renamed(next, part))
      .with(at + 1, renamed(nextMac, mac))
      .with(at + 2, renamed(part, next))
      .with(at + 3, renamed(mac, nextMac));
    expect(await outcome(archiveOf(swapped))).toBeInstanceOf(DamagedError);
    expect(await outcome(archiveOf(members.toSpliced(at, 2)))).toBeInstanceOf(DamagedError);
  });
});

/** The content of one member under the name of another. */
function renamed(content: OuterMemberBlocks, name: OuterMemberBlocks): OuterMemberBlocks {
  const blocks = Buffer.from(content.blocks);
  for (let at = 0; at < blocks.length; at += 512) {
    if (blocks.toString('latin1', at + 257, at + 262) !== 'ustar' || blocks[at + 156] === 0x78)
      continue;
    blocks.fill(0, at, at + 100).write(name.name, at, 'latin1');
    blocks.write('        ', at + 148, 'latin1');
    const sum = blocks.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
    blocks.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148, 'latin1');
    break;
  }
  return { ...content, name: name.name, blocks };
}

describe('a changed archive is refused if', () => {
  const { passphrase } = expectedOfFixtures();

  test.each(['qubes2-encrypted.backup', 'qubes3-encrypted.backup', 'qubes3-plain.backup'])(
    'a byte of any member of %s has changed, before any of its data is given',
    async (name) => {
      const archive = fixture(name);
      const genuine = await innerTarsOf(await open(inputOf(archive, true), passphrase));
      for (const member of membersOf(archive)) {
        const at = member.content.byteOffset - archive.byteOffset + (member.content.length >> 1);
        const changed = Buffer.from(archive);
        changed.writeUInt8(changed.readUInt8(at) ^ 0x40, at);
        for (const seekable of [true, false]) {
          const reading = open(inputOf(changed, seekable), passphrase).then((reader) =>
            readNothingElse(reader, genuine),
          );
          expect(await outcomeOf(reading), member.name).toBeInstanceOf(CofferError);
        }
      }
    },
  );

  test('the passphrase is wrong, and that is told apart from damage', async () => {
    for (const name of [
      'qubes2-encrypted.backup',
      'qubes3-encrypted.backup',
      'qubes3-plain.backup',
    ]) {
      expect(await outcome(fixture(name), 'wrong')).toBeInstanceOf(WrongPassphraseError);
    }
  });

  const archive = makeQubes3({
    version: 3,
    files: FILES,
    passphrase: PASSPHRASE,
    cipher: 'aes-256-cbc',
    filter: ['gzip', 'gzip', '-c'],
    partSize: 16_384,
  });
  const members = membersOf(archive);
  const at = (name: string): number => {
    const index = members.findIndex((member) => member.name === name);
    if (index < 0) throw new Error(`no member ${name}`);
    return index;
  };
  const part1 = at('vm5/private.img.001');
  const pair = (index: number): OuterMemberBlocks[] => members.slice(index, index + 2);

  test.each([
    ['a part is missing', members.toSpliced(part1, 2)],
    ['a part occurs twice', members.toSpliced(part1, 0, ...pair(part1))],
    ['the last part of a file is missing', members.toSpliced(at('vm5/firewall.xml.000') - 2, 2)],
    ['the first part of a file is missing', members.toSpliced(at('vm5/private.img.000'), 2)],
    [
      'two parts have changed places',
      members.toSpliced(part1, 4, ...pair(part1 + 2), ...pair(part1)),
    ],
    ['a MAC is missing', members.toSpliced(part1 + 1, 1)],
    ['the part of a MAC is missing', members.toSpliced(part1, 1)],
    ['a MAC comes before its part', members.toSpliced(part1, 2, ...pair(part1).reverse())],
    ['a file occurs twice', [...members, ...pair(at('vm5/firewall.xml.000'))]],
    ['it ends between a part and its MAC', members.slice(0, part1 + 1)],
  ])('%s', async (_, spliced) => {
    expect(await outcome(archiveOf(spliced))).toBeInstanceOf(DamagedError);
  });

  test('it is truncated before or within any member, except between files', async () => {
    for (const { blocks, name } of members.slice(2)) {
      const begin = blocks.byteOffset - archive.byteOffset;
      const betweenFiles = name.endsWith('.000') && name !== 'qubes.xml.000';
      for (const cutAt of betweenFiles ? [begin + 700] : [begin, begin + 700]) {
        expect(await outcome(archive.subarray(0, cutAt)), name).toBeInstanceOf(DamagedError);
      }
    }
  });

  test('a MAC has 1 MiB', async () => {
    using work = new WorkDirectory();
    const huge = membersOf(work.member('vm5/private.img.001.hmac', Buffer.alloc(2 ** 20)));
    const error = await outcome(archiveOf(members.toSpliced(part1 + 1, 1, ...huge)));
    expect(error).toBeInstanceOf(DamagedError);
  });
});

test('a decompression bomb with a valid MAC takes little memory', async () => {
  const recipe = {
    version: 3,
    files: {},
    passphrase: PASSPHRASE,
    filter: ['gzip', 'gzip', '-c'],
  } as const;
  using work = new WorkDirectory();
  // The output of gzip may be concatenated.
  const hundred = work.run('sh', ['-c', 'head -c 100M /dev/zero | gzip -1']);
  const zeros = Buffer.concat([hundred, hundred, hundred, hundred]);
  const bomb = Buffer.concat([
    makeQubes3(recipe),
    membersWithMacs(work, [['vm1/private.img.000', zeros]], recipe),
  ]);
  expect(await outcome(bomb)).toBeInstanceOf(DamagedError);

  const reader = await open(inputOf(bomb, true), PASSPHRASE);
  await reader.qubesXml();
  const before = process.memoryUsage().rss;
  let length = 0;
  for await (const file of reader.files(() => true)) {
    for await (const chunk of contentOf(file)) length += chunk.length;
  }
  expect(length).toBe(400 * 2 ** 20);
  expect(process.memoryUsage().rss - before).toBeLessThan(150 * 2 ** 20);
});
