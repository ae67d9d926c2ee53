import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { drain } from '../../dom0-agent/archive/drain.ts';
import { openArchive } from '../../dom0-agent/archive/open.ts';
import { CofferError, ExitStatus } from '../../shared/errors.ts';
import { makeArchive, never } from '../archive/coffer1/sample.ts';
import { inputOf } from '../archive/memory.ts';
import { archiveOf, fixture, membersOf, open as openOld } from '../archive/official-archives.ts';
import { makeQubes3 } from '../archive/qubes3/make-qubes3.ts';
import { makeQubes4 } from '../archive/qubes4/make-qubes4.ts';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { type Bout, expectNamedError, runCoffer } from './arena.ts';
import { type Piece, assemble, belongsTo, graft, piecesOf, reword, rename } from './splices.ts';

/** What an attacker without the key can make of several backups of the same system. */
const cleanUps: (() => Promise<void>)[] = [];
let box: Box;
let before: string;
/** Two under one passphrase; one under it that is not encrypted; one under another. */
let older: Piece[], newer: Piece[], open: Piece[], foreign: Piece[];

beforeAll(async () => {
  const full = await Box.full((cleanUp) => cleanUps.push(cleanUp));
  const backUp = (...args: string[]): Piece[] =>
    piecesOf(
      readFileSync(join(full.directory, 'homes/usb', full.backUp(['-x', 'debian', ...args]))),
    );
  older = backUp();
  await pause(1_100);
  newer = backUp();
  await pause(1_100);
  open = backUp('--no-encrypt');
  await pause(1_100);
  writeFileSync(full.passphraseFile, 'another passphrase\n');
  foreign = backUp();
  box = await Box.empty((cleanUp) => cleanUps.push(cleanUp));
  before = box.state;
});
afterAll(() => Promise.all(cleanUps.map((cleanUp) => cleanUp())));

/** In backups/forged. */
function put(archive: Buffer): string {
  writeFileSync(join(box.backups, 'forged'), archive);
  return 'backups/forged';
}

const HEADER = ['backup-header', 'backup-header.hmac'];
const isHeader = ({ name }: Piece): boolean => HEADER.includes(name);
const withHeaderOf = (header: Piece[], rest: Piece[]): Piece[] => [
  ...header.filter(isHeader),
  ...rest.filter((piece) => !isHeader(piece)),
];
const without = (pieces: Piece[], path: string): Piece[] =>
  pieces.filter((piece) => !belongsTo(path)(piece));

/** What is made, and what coffer has to say. */
const SPLICES: readonly (readonly [string, () => Piece[], RegExp])[] = [
  [
    'a volume of an older backup',
    () => graft(newer, older, volume()),
    /is not the one that its manifest tells of/,
  ],
  [
    'a volume of an open backup',
    () => graft(newer, open, volume()),
    /is not the one that its manifest tells of/,
  ],
  [
    'a volume under another passphrase',
    () => graft(newer, foreign, volume()),
    /is not the one that its manifest tells of/,
  ],
  ['the list of VMs of an older backup', () => graft(newer, older, 'qubes.xml'), /qubes.xml/],
  ['the manifest of an older backup', () => graft(newer, older, 'manifest'), /manifest/],
  ['the header of an older backup', () => withHeaderOf(older, newer), /manifest/],
  ['the header of an open backup', () => withHeaderOf(open, newer), /manifest/],
  [
    'the header under another passphrase',
    () => withHeaderOf(foreign, newer),
    /passphrase is wrong/,
  ],
  ['all under another passphrase', () => foreign, /passphrase is wrong/],
  ['no volume of a VM', () => without(newer, volume()), /missing|incomplete|does not/],
  [
    'no VM at all',
    () => newer.filter(({ name }) => !name.startsWith('vm')),
    /missing|incomplete|not/,
  ],
  ['no manifest', () => without(newer, 'manifest'), /no manifest/],
  ['no header', () => newer.slice(2), /passphrase is wrong/],
  ['no MAC of the header', () => newer.toSpliced(1, 1), /authentication code/],
  ['two VMs that change places', () => exchanged(newer), /is not where it should be/],
  ['a VM twice', () => [...newer, ...newer.filter(belongsTo(volume()))], /manifest|follows/],
  [
    'a VM under another name',
    () => rename(newer, volume().replace(/\/.*/, ''), 'vm9'),
    /is not where it should be/,
  ],
  ['two whole backups', () => [...newer, ...older], /damaged|belong|manifest|missing/],
  [
    'a header that says it is not encrypted',
    () => reword(newer, /^encrypted=True/m, 'encrypted=False'),
    /passphrase is wrong/,
  ],
  [
    'a cheaper key derivation',
    () => reword(newer, /kdf-n=16384/, 'kdf-n=32768'),
    /passphrase is wrong/,
  ],
  [
    'a key derivation below the least',
    () => reword(newer, /kdf-n=16384/, 'kdf-n=1024'),
    /out of bounds/,
  ],
  ['a key derivation of 16 TiB', () => reword(newer, /kdf-n=16384/, 'kdf-n=17179869184'), /kdf-n/],
  ['another MAC algorithm', () => reword(newer, /sha512/, 'md5'), /hmac-algorithm/],
  ['no MAC algorithm', () => reword(newer, /hmac-algorithm=sha512\n/, ''), /hmac-algorithm/],
  ['another cipher', () => reword(newer, /aes-256-ctr/, 'rot13'), /crypto-algorithm/],
  ['another salt', () => reword(newer, /kdf-salt=../, 'kdf-salt=00'), /passphrase is wrong/],
  ['another backup-id', () => reword(newer, /backup-id=../, 'backup-id=00'), /passphrase is wrong/],
  [
    'parts of another size',
    () => reword(newer, /part-size=\d+/, 'part-size=4096'),
    /passphrase is wrong/,
  ],
  ['another filter', () => reword(newer, /filter=zstd/, 'filter=gzip'), /passphrase is wrong/],
  ['a filter of the attacker', () => reword(newer, /filter=zstd/, 'filter=sh -c x'), /not sound/],
  ['another version of the format', () => reword(newer, /coffer-1/, 'coffer-0'), /does not know/],
  [
    'the format 4',
    () => reword(newer, /format=coffer-1/, 'version=4'),
    /passphrase is wrong|damaged/,
  ],
  [
    'the format 3',
    () => reword(newer, /format=coffer-1/, 'version=3'),
    /passphrase is wrong|damaged|not/,
  ],
  [
    'the format 2, and no encryption',
    () => reword(newer, /^[^]*$/, OLD_HEADER),
    /passphrase is wrong|damaged/,
  ],
  ['no format', () => reword(newer, /format=coffer-1\n/, ''), /does not know/],
];

const OLD_HEADER =
  'version=2\nhmac-algorithm=SHA1\ncrypto-algorithm=aes-256-cbc\nencrypted=False\ncompressed=False\n';

function volume(): string {
  const name = newer.find((piece) => /^vm\d+\/private\.img\.000$/.test(piece.name))?.name;
  return name?.replace(/\.000$/, '') ?? '';
}

function exchanged(pieces: Piece[]): Piece[] {
  const [first = '', second = ''] = new Set(
    pieces.flatMap(({ name }) => /^vm\d+/.exec(name)?.[0] ?? []),
  );
  return rename(rename(rename(pieces, first, 'vmx'), second, first), 'vmx', second);
}

/** Verify and restore say no, with one sentence, and nothing is created. */
async function expectRefused(
  archive: Buffer,
  what: string,
  text: RegExp,
  ways = [['verify'], ['restore', '-y', '--ignore-missing']],
): Promise<void> {
  const location = put(archive);
  const commands = ways.map((words) => [...words, location]);
  const bouts = await Promise.all(commands.map(run));
  for (const [index, bout] of bouts.entries()) {
    const told = `${commands[index]?.[0] ?? ''} ${what}: ${bout.stderr}`;
    expect(bout.status, told).toBe(ExitStatus.damaged);
    expectNamedError(bout, ExitStatus.damaged, text);
    expect(bout.stdout, told).not.toMatch(/Restored|Verified/);
  }
  expect(box.state, what).toBe(before);
}

const run = ([command = '', ...args]: string[]): Promise<Bout> =>
  runCoffer(box, [command, '-d', 'usb', ...box.secret, ...args], { TZ: 'UTC' });

describe('without the key nobody can make a backup with', () => {
  it.each(SPLICES)('%s', async (what, splice, text) => {
    await expectRefused(await assemble(splice()), what, text);
  });

  it('nothing changed is what the splices are made from', async () => {
    for (const pieces of [older, newer, open]) {
      const { status, stderr } = await run(['verify', put(await assemble(pieces))]);
      expect(status, stderr).toBe(0);
    }
  });

  it('some members of one backup and some of another, under one passphrase, wherever it is cut', async () => {
    const contents = {
      'vm5/private.img': Buffer.alloc(30_000, 5),
      'vm6/notes.txt': Buffer.from('n'),
    };
    const [one, other] = [
      piecesOf(await makeArchive(contents)),
      piecesOf(await makeArchive(contents)),
    ];
    expect(one.length).toBe(other.length);
    for (let at = 1; at < one.length; at++) {
      const mixed = await assemble([...one.slice(0, at), ...other.slice(at)]);
      for (const seekable of [true, false]) {
        expect(await outcomeOf(mixed, seekable), `cut at ${at}`).toMatchObject({ exitStatus: 3 });
      }
    }
  });
});

async function outcomeOf(archive: Buffer, seekable: boolean): Promise<unknown> {
  try {
    const reader = await openArchive(inputOf(archive, seekable), Buffer.from(PASSPHRASE), never);
    await reader.qubesXml();
    for await (const { innerTar } of reader.files(() => true)) await drain(innerTar);
    return 'whole';
  } catch (error) {
    return error instanceof CofferError ? error : String(error);
  }
}

it('two backups of the same, under one passphrase, share no key and look alike in nothing', () => {
  const [one, other] = [older, newer].map((pieces) => ({
    header: pieces.find(isHeader)?.content.toString() ?? '',
    sealed: pieces.filter((piece) => !isHeader(piece)).map(({ content }) => content),
  }));
  for (const key of [/backup-id=\w{32}/, /kdf-salt=\w{64}/]) {
    expect(key.exec(one?.header ?? '')?.[0]).toBeDefined();
    expect(key.exec(one?.header ?? '')?.[0]).not.toBe(key.exec(other?.header ?? '')?.[0]);
  }
  expect(one?.sealed.length).toBe(other?.sealed.length);
  for (const [i, content] of one?.sealed.entries() ?? []) {
    expect(other?.sealed[i]?.subarray(0, 16).equals(content.subarray(0, 16))).toBe(false);
  }
});

describe('an older backup in the place of a newer one', () => {
  it('cannot be told from it, but its age is shown before anything is restored', async () => {
    const ages: string[] = [];
    for (const pieces of [older, newer]) {
      const location = put(await assemble(pieces));
      const list = await run(['list', '--json', location]);
      const { created } = JSON.parse(list.stdout) as { created: string };
      // Nobody answers the question: what is said up to there is all.
      const restore = await run(['restore', '--ignore-missing', location]);
      expect(restore.status).toBe(ExitStatus.refused);
      expect(restore.stdout).toContain(`made on ${created.slice(0, 10)} ${created.slice(11, 19)}`);
      expect(box.state).toBe(before);
      ages.push(created);
    }
    expect(Date.parse(ages[1] ?? '')).toBeGreaterThan(Date.parse(ages[0] ?? ''));
  });
});

describe('the official formats', () => {
  it.each([
    'qubes4-gzip.backup',
    'qubes4-zstd.backup',
    'qubes3-encrypted.backup',
    'qubes3-plain.backup',
  ])('%s: a VM that was dropped is noticed, though there is no manifest', async (name) => {
    const members = membersOf(fixture(name));
    const volumes = members.filter((member) => member.name.includes('private.img'));
    const last = volumes.at(-1)?.name.replace(/\/private\.img.*/, '') ?? '';
    const dropped = members.filter((member) => !member.name.startsWith(`${last}/`));
    // Of the others, the templates or the user are not on this system.
    const ways = name === 'qubes4-zstd.backup' ? undefined : [['verify']];
    await expectRefused(archiveOf(dropped), name, /incomplete/, ways);
  });

  it('format 4 notices a volume of an older backup under the same passphrase', async () => {
    const make = (backupId: string): Buffer =>
      makeQubes4({ files: FILES, passphrase: PASSPHRASE, backupId });
    const spliced = graft(
      piecesOf(make('20260101T000000-1')),
      piecesOf(make('20260102T000000-2')),
      'vm5/private.img',
    );
    expect(await outcomeOf(await assemble(spliced), false)).toMatchObject({ exitStatus: 3 });
  });

  it('format 3 cannot: that is a limit of the format, and one reason for coffer-1', async () => {
    const make = (content: string): Piece[] => {
      const files = { ...FILES, 'vm5/private.img': content };
      return piecesOf(makeQubes3({ version: 3, files, passphrase: PASSPHRASE, partSize: 2 ** 20 }));
    };
    const spliced = graft(make('new'), make('old'), 'vm5/private.img');
    const reader = await openOld(inputOf(await assemble(spliced), true), PASSPHRASE);
    await reader.qubesXml();
    for await (const { innerTar } of reader.files(() => true)) await drain(innerTar);
  });
});

const FILES = { 'vm5/private.img': 'volume', 'vm6/private.img': 'another' };
