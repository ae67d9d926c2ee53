import { randomBytes } from 'node:crypto';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { cleanUpAfterFile } from '../clean-up-after-file.ts';
import { contentOf } from '../archive/content-of.ts';
import { drain } from '../../dom0-agent/archive/drain.ts';
import { openArchive } from '../../dom0-agent/archive/open-archive.ts';
import { backedUpFiles } from '../../dom0-agent/contents/backed-up-files.ts';
import { CofferError, DamagedError, ExitStatus } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
import { makeArchive, never } from '../archive/coffer1/sample.ts';
import { inputOf } from '../archive/memory.ts';
import {
  WorkDirectory,
  archiveOf,
  fixture,
  membersOf,
  open as openOld,
} from '../archive/official-archives.ts';
import { type Qubes3Recipe, makeQubes3 } from '../archive/qubes3/make-qubes3.ts';
import { makeQubes4 } from '../archive/qubes4/make-qubes4.ts';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { type Bout, expectNamedError, expectTameOutput, runCoffer } from './arena.ts';
import { FORGERIES, isHeader } from './forgeries.ts';
import { type Piece, assemble, graft, piecesOf } from './splices.ts';
import { lastEvent } from '../cli/events.ts';

/** Forgeries that an attacker without the key can make from several backups of the same system. */
const cleanUp = cleanUpAfterFile();
let box: Box;
let before: string;
/** Two backups with one passphrase; one with the same that is not encrypted; one with another passphrase. */
let older: Piece[], newer: Piece[], open: Piece[], foreign: Piece[];

beforeAll(async () => {
  const full = await Box.full(cleanUp);
  const backUp = (...args: string[]): Piece[] =>
    piecesOf(readFileSync(full.fileOf(full.backUp(['-x', 'debian', '--new-series', ...args]))));
  older = backUp();
  // The time of a backup is shown in seconds.
  await pause(1_100);
  newer = backUp();
  open = backUp('--no-encrypt');
  writeFileSync(full.passphraseFile, 'another passphrase\n');
  foreign = backUp();
  box = await Box.empty(cleanUp);
  before = box.state;
});

/** Writes an archive to where dom0 itself reads it, as the storage VM is not what is tested here. */
function put(archive: Buffer): string {
  writeFileSync(join(box.backups, 'forged'), archive);
  return join(box.backups, 'forged');
}

/** Checks that verify and restore refuse the archive with a sentence, and that nothing is created. */
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
    if (bout.stdout.includes('The backup is damaged.')) {
      // verify continued with the other VMs, and names what is damaged or missing in each.
      expect(bout.stderr, told).toMatch(
        /^warning: ([a-z0-9-]+: its .*(damaged|missing)|part \d+ of \S+ is not where it should be)/m,
      );
      expectTameOutput(bout);
    } else {
      expectNamedError(bout, ExitStatus.damaged, text);
    }
    expect(bout.stdout, told).not.toMatch(/Restored|Verified/);
  }
  expect(box.state, what).toBe(before);
}

const run = ([command = '', ...args]: string[]): Promise<Bout> =>
  runCoffer(box, [command, ...box.secret, ...args], { TZ: 'UTC' });

describe('a backup that was changed without the key is refused:', () => {
  it.each(FORGERIES)('%s', async (what, forge, text) => {
    await expectRefused(await assemble(forge({ older, newer, open, foreign })), what, text);
  });

  it('not if it is assembled again without a change', async () => {
    for (const pieces of [older, newer, open]) {
      const { status, stderr } = await run(['verify', put(await assemble(pieces))]);
      expect(status, stderr).toBe(0);
    }
  });

  it('the first members of one backup and the rest of another with the same passphrase, wherever it is cut', async () => {
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
    for await (const file of reader.files(() => true)) await drain(contentOf(file));
    return 'whole';
  } catch (error) {
    return error instanceof CofferError ? error : String(error);
  }
}

it('two backups of the same data with the same passphrase have no id, salt or encrypted member in common', () => {
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

/** The output of restoring the backup on another system. */
async function shownByRestore(location: string): Promise<string> {
  const other = await Box.empty();
  copyFileSync(location, join(other.backups, 'one'));
  const words = ['restore', '-d', 'usb', ...other.secret, '-y', 'backups/one'];
  const { stdout, stderr } = other.loud(words, '', { TZ: 'UTC' });
  return stdout + stderr;
}

describe('an older backup in place of a newer one', () => {
  it('is accepted, but list, verify and restore show when it was made', async () => {
    const ages: string[] = [];
    for (const pieces of [older, newer]) {
      const location = put(await assemble(pieces));
      const list = await run(['list', '--json', location]);
      const { created } = lastEvent(list.stdout) as unknown as { created: string };
      const shown = `made on ${created.slice(0, 10)} ${created.slice(11, 19)}`;
      for (const words of [['list'], ['verify']]) {
        expect((await run([...words, location])).stdout).toContain(shown);
      }
      expect(await shownByRestore(location)).toContain(shown);
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
  ])('%s: a missing VM is detected without a manifest', async (name) => {
    const members = membersOf(fixture(name));
    const volumes = members.filter((member) => member.name.includes('private.img'));
    const last = volumes.at(-1)?.name.replace(/\/private\.img.*/, '') ?? '';
    const dropped = members.filter((member) => !member.name.startsWith(`${last}/`));
    // This system does not have the templates or the user of the other fixtures.
    const ways = name === 'qubes4-zstd.backup' ? undefined : [['verify']];
    await expectRefused(archiveOf(dropped), name, /incomplete/, ways);
  });

  it('format 2 refuses a list of VMs of 128 MiB with little memory', async () => {
    using work = new WorkDirectory();
    const archive = Buffer.concat([
      work.member('qubes.xml.000', Buffer.alloc(128 * MiB)),
      work.member('qubes.xml.000.hmac', `(stdin)= ${'0'.repeat(40)}\n`),
    ]);
    const bout = await run(['verify', put(archive)]);
    expectNamedError(bout, ExitStatus.damaged, /passphrase is wrong|than is possible/);
  });

  it('format 4 detects a volume of an older backup under the same passphrase', async () => {
    const make = (backupId: string): Buffer =>
      makeQubes4({ files: FILES, passphrase: PASSPHRASE, backupId });
    const spliced = graft(
      piecesOf(make('20260101T000000-1')),
      piecesOf(make('20260102T000000-2')),
      'vm5/private.img',
    );
    expect(await outcomeOf(await assemble(spliced), false)).toMatchObject({ exitStatus: 3 });
  });

  /** The content that is read of `vm5/private.img` if the second parts of two VMs' volumes are swapped. */
  async function swapped(
    recipe: Pick<Qubes3Recipe, 'version' | 'filter' | 'cipher'>,
  ): Promise<Buffer> {
    const files = {
      'vm5/private.img': randomBytes(3 * MiB),
      'vm6/private.img': randomBytes(3 * MiB),
    };
    const pieces = piecesOf(
      makeQubes3({ ...recipe, files, passphrase: PASSPHRASE, partSize: MiB }),
    );
    const other = (name: string): string =>
      /^vm[56]\/private\.img\.001/.test(name)
        ? name.replace(/^vm[56]/, (vm) => (vm === 'vm5' ? 'vm6' : 'vm5'))
        : name;
    const content = new Map(pieces.map((piece) => [piece.name, piece.content]));
    const spliced = pieces.map(({ name }) => ({
      name,
      content: content.get(other(name)) ?? Buffer.alloc(0),
    }));
    const reader = await openOld(inputOf(await assemble(spliced), true), PASSPHRASE);
    await reader.qubesXml();
    for await (const archived of reader.files(() => true)) {
      const { path } = archived;
      const chunks: Buffer[] = [];
      for await (const file of backedUpFiles(archived)) {
        for await (const { bytes } of file.pieces()) chunks.push(Buffer.from(bytes));
      }
      const read = Buffer.concat(chunks);
      if (path === 'vm5/private.img') {
        expect(read.equals(files[path])).toBe(false);
        return read;
      }
    }
    throw new Error('the archive holds no vm5/private.img');
  }

  it.each([
    ['format 3, compressed', { version: 3, filter: ['gzip', 'gzip', '-c'] }],
    [
      'format 3, compressed and encrypted',
      { version: 3, filter: ['gzip', 'gzip', '-c'], cipher: 'aes-256-cbc' },
    ],
    ['format 2', { version: 2 }],
  ] as const)('%s detects a part of another VM', async (_, recipe) => {
    await expect(swapped(recipe)).rejects.toThrow(DamagedError);
  });

  it('uncompressed format 3 does not detect a part of another VM, as docs/threat-model.md says', async () => {
    expect(await swapped({ version: 3 })).toHaveLength(3 * MiB);
    expect(await swapped({ version: 3, cipher: 'aes-256-cbc' })).toHaveLength(3 * MiB);
  });

  it('format 3 does not detect a volume of an older backup, which is a limit of the format', async () => {
    const make = (content: string): Piece[] => {
      const files = { ...FILES, 'vm5/private.img': content };
      return piecesOf(makeQubes3({ version: 3, files, passphrase: PASSPHRASE, partSize: 2 ** 20 }));
    };
    const spliced = graft(make('new'), make('old'), 'vm5/private.img');
    const reader = await openOld(inputOf(await assemble(spliced), true), PASSPHRASE);
    await reader.qubesXml();
    for await (const file of reader.files(() => true)) await drain(contentOf(file));
  });
});

const FILES = { 'vm5/private.img': 'volume', 'vm6/private.img': 'another' };
