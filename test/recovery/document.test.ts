import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  WorkDirectory,
  expectedOfFixtures,
  fixture,
  membersOf,
  noise,
  sha256,
} from '../archive/official-archives.ts';
import { makeQubes3 } from '../archive/qubes3/make-qubes3.ts';
import { PASSPHRASE as FORMAT_4_PASSPHRASE, makeArchive } from '../archive/qubes4/write-sample.ts';
import { PASSPHRASE, coffer1Backup, smallFile } from './backups.ts';
import { followPage } from './document.ts';
import { FILES_IN_IMAGE, imageFile, makeImage } from './image.ts';
import { SCRIPT, SHELLS } from './script.ts';

const image = makeImage();
const FILE = 'vm5/private.img';

/** Sections of docs/recovery.md, fixtures that they are for, and a VM with its directory in the fixture. */
const OFFICIAL: readonly [string, string, string, string][] = [
  ['Format 4', 'qubes4-gzip.backup', 'work', 'vm5'],
  ['Format 4', 'qubes4-plain.backup', 'work', 'vm5'],
  ['Format 4', 'qubes4-bzip2.backup', 'work', 'vm5'],
  ['Format 4', 'qubes4-gzip-lvm.backup', 'work', 'vm5'],
  ['Format 3', 'qubes3-encrypted.backup', 'work', 'vm5'],
  ['Format 3', 'qubes3-plain.backup', 'vault', 'appvms/vault'],
  ['Format 3', 'qubes3-sha256.backup', 'work', 'vm5'],
  ['Format 2', 'qubes2-encrypted.backup', 'work', 'vm5'],
  ['Format 2', 'qubes2-encrypted.backup', 'vault', 'vm6'],
];

describe('docs/recovery.md', () => {
  it('has the SHA-256 of recover.sh', () => {
    const page = readFileSync(new URL('../../docs/recovery.md', import.meta.url), 'utf8');
    expect(page).toContain(`    ${sha256(readFileSync(SCRIPT))}\n`);
  });

  it.each([
    ['encrypted and compressed', 'dash', {}],
    ['encrypted and compressed', 'bash --posix', {}],
    ['encrypted and compressed', 'busybox sh', {}],
    ['not encrypted', 'dash', { encrypted: false }],
    ['not compressed', 'bash', { compressionFilter: undefined }],
  ])('recovers the files of a coffer-1 backup, %s, with %s', async (_, shell, options) => {
    using work = new WorkDirectory();
    const files = [imageFile(FILE, image), smallFile('vm5/notes.txt', 'a note')];
    const backup = await coffer1Backup(files, options);
    const reader = { section: 'coffer-1', backup, file: FILE, passphrase: PASSPHRASE, shell };
    const { status, stdout, stderr } = await followPage(work, reader);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stdout + stderr).not.toMatch(/STOP|MISSING/);
    expect(sha256(work.take(`recovery/${FILE}`))).toBe(sha256(image));
    for (const [name, content] of Object.entries(FILES_IN_IMAGE)) {
      expect(work.take(`recovery/files/${name}`).equals(content)).toBe(true);
    }
  });

  it("recovers dom0's home from a coffer-1 backup", async () => {
    using work = new WorkDirectory();
    const home = work.member('dom0-home/home/.config/a file', 'settings');
    const backup = await coffer1Backup([
      { kind: 'tree', path: 'dom0-home/home', tar: piecesOf(home) },
    ]);
    const reader = { section: 'coffer-1', backup, file: 'dom0-home/home', passphrase: PASSPHRASE };
    const { status, stderr } = await followPage(work, reader);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(work.take('recovery/dom0-home/home/.config/a file').toString()).toBe('settings');
  });

  // The first backup of each section is recovered in every shell; the others only differ in other programs, so one shell each.
  const inOrder = OFFICIAL.map(([section, name, vm, directory], i) => ({
    ...{ section, name, vm, directory },
    shells:
      OFFICIAL.findIndex(([other]) => other === section) === i
        ? SHELLS
        : [SHELLS[i % SHELLS.length] ?? 'dash'],
  }));
  it.each(inOrder)(
    'recovers the files of $vm from $name by the section $section',
    async (official) => {
      const { section, name, vm, directory, shells } = official;
      const { passphrase, backups } = expectedOfFixtures();
      const file = `${directory}/private.img`;
      for (const shell of shells) {
        using work = new WorkDirectory();
        const reader = { section, backup: fixture(name), file, passphrase, shell };
        const { status, stdout, stderr } = await followPage(work, reader);
        expect({ shell, status, stderr }).toMatchObject({ status: 0 });
        expect(stdout).toContain('backup-header is authentic');
        expect(sha256(work.take(`recovery/${file}`))).toBe(backups[name]?.[vm]?.['private.img']);
      }
    },
  );

  it.each(['coffer-1', ...new Set(OFFICIAL.map(([section]) => section))])(
    'shows no passphrase and no root key to an observer of the processes (%s)',
    async (section) => {
      using work = new WorkDirectory();
      const official = OFFICIAL.find(([each, name]) => each === section && /gzip|encr/.test(name));
      const backup =
        official === undefined
          ? await coffer1Backup([smallFile(FILE, noise(1000))])
          : fixture(official[1]);
      const passphrase = official === undefined ? PASSPHRASE : expectedOfFixtures().passphrase;
      const trace = join(work.path, 'trace');
      const { stdout } = await followPage(work, {
        ...{ section, backup, file: FILE, passphrase, trace, heedless: true },
      });
      expect(stdout).toContain(`${FILE} is recovered`);
      const executed = readFileSync(trace, 'latin1');
      expect(executed).toMatch(/execve\("[^"]*(openssl|scrypt)"/);
      for (const secret of ['staple', Buffer.from('staple').toString('hex')]) {
        expect(executed).not.toContain(secret);
      }
      // Keys of 64 bytes in hex: the root key and the MAC keys.
      expect(executed).not.toMatch(/[0-9a-f]{128}/);
    },
  );

  it.each(['coffer-1', 'Format 4', 'Format 3', 'Format 2'])(
    'can be typed in an interactive bash, which expands ! in double quotes (%s)',
    async (section) => {
      using work = new WorkDirectory();
      const [, name] = OFFICIAL.find(([each]) => each === section) ?? [];
      const backup =
        name === undefined ? await coffer1Backup([smallFile(FILE, noise(1000))]) : fixture(name);
      const passphrase = name === undefined ? PASSPHRASE : expectedOfFixtures().passphrase;
      const shell = 'bash -o history -o histexpand';
      const reader = { section, backup, file: FILE, passphrase, shell, image: false };
      const { stdout, stderr } = await followPage(work, { ...reader, heedless: true });
      expect(stderr).not.toMatch(/event not found|STOP/);
      expect(stdout).toContain(`${FILE} is recovered`);
    },
  );

  it('recovers the files of a backup in format 2 without a header', async () => {
    using work = new WorkDirectory();
    const backup = makeQubes3({
      version: 2,
      files: { [FILE]: image },
      passphrase: PASSPHRASE,
      cipher: 'aes-256-cbc',
      filter: ['gzip', 'gzip'],
      mac: 'SHA1',
      header: false,
      partSize: 1024 * 1024,
    });
    const reader = { section: 'Format 2', backup, file: FILE, passphrase: PASSPHRASE };
    const { status, stderr } = await followPage(work, reader);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(sha256(work.take(`recovery/${FILE}`))).toBe(sha256(image));
  });

  it('shows what is missing in a backup that coffer wrote in format 4', async () => {
    using work = new WorkDirectory();
    const archive = await makeArchive({ [FILE]: 'a', 'vm5/notes.txt': 'b' });
    const follow = async (backup: Buffer): Promise<string> => {
      const reader = { section: 'Format 4', backup, file: 'coffer-manifest' };
      return (await followPage(work, { ...reader, passphrase: FORMAT_4_PASSPHRASE })).stdout;
    };
    expect(await follow(archive)).toMatch(/coffer-manifest is recovered\n(?!.*MISSING)/);
    rmSync(join(work.path, 'recovery'), { recursive: true });
    const path = work.write('backup', archive);
    execFileSync('tar', ['--delete', '-f', path, `${FILE}.000.enc`]);
    expect(await follow(readFileSync(path))).toContain(`${FILE}.000.enc is MISSING or wrong\n`);
  });

  it.each([
    ['coffer-1', undefined],
    ['Format 4', 'qubes4-gzip.backup'],
    ['Format 3', 'qubes3-encrypted.backup'],
    ['Format 2', 'qubes2-encrypted.backup'],
  ])('stops at a wrong passphrase (%s)', async (section, name) => {
    using work = new WorkDirectory();
    const backup = name === undefined ? await coffer1Backup([]) : fixture(name);
    const reader = { section, backup, file: FILE, passphrase: 'a wrong one' };
    const { status, stderr } = await followPage(work, reader);
    expect(status).not.toBe(0);
    expect(stderr).toContain('*** STOP: backup-header is NOT authentic');
    expect(work.has(`recovery/${FILE}`)).toBe(false);
  });

  it.each([
    ['coffer-1', undefined, 'data.002'],
    ['Format 4', 'qubes4-gzip.backup', `${FILE}.001.enc`],
    ['Format 3', 'qubes3-encrypted.backup', `${FILE}.001`],
    ['Format 2', 'qubes2-encrypted.backup', `${FILE}.001`],
  ])('stops at a damaged part (%s)', async (section, name, part) => {
    using work = new WorkDirectory();
    const whole =
      name === undefined ? await coffer1Backup([imageFile(FILE, image)]) : fixture(name);
    const passphrase = name === undefined ? PASSPHRASE : expectedOfFixtures().passphrase;
    const reader = { section, backup: withFlippedBit(whole, part), file: FILE, passphrase };
    const { status, stderr } = await followPage(work, reader);
    expect(status).not.toBe(0);
    expect(stderr).toContain(`*** STOP: ${part.replace('.enc', '')} is NOT authentic`);
    expect(work.has(`recovery/${FILE}`)).toBe(false);
  });
});

describe('docs/recovery.md, from an incomplete backup,', () => {
  /** The beginning of the image that the page salvages. */
  async function salvaged(section: string, backup: Buffer, then: string): Promise<Buffer> {
    using work = new WorkDirectory();
    const passphrase = section === 'coffer-1' ? PASSPHRASE : FORMAT_4_PASSPHRASE;
    const reader = { section, backup, file: FILE, passphrase, then, heedless: true };
    const { stderr } = await followPage(work, reader);
    expect(stderr).toContain('*** STOP: ');
    expect(work.has(`recovery/${FILE}`)).toBe(false);
    return work.take('recovery/salvaged');
  }

  const content = noise(200_000);
  const options = { compressionFilter: undefined };

  it('salvages the data before a damaged part, in coffer-1 and in format 4', async () => {
    const backup = await coffer1Backup([smallFile(FILE, content)], options);
    const ours = await salvaged('coffer-1', withFlippedBit(backup, 'data.002'), 'salvage_volume');
    const archive = await makeArchive({ [FILE]: content }, options);
    const four = await salvaged('Format 4', withFlippedBit(archive, `${FILE}.009.enc`), 'salvage');
    for (const beginning of [ours, four]) {
      expect(beginning.length).toBeGreaterThan(100_000);
      expect(content.subarray(0, beginning.length).equals(beginning)).toBe(true);
    }
  });

  it('salvages a complete file if the backup is truncated after it', async () => {
    const files = [smallFile(FILE, content), smallFile('vm6/private.img', content)];
    const backup = await coffer1Backup(files, options);
    const cut = backup.subarray(0, Math.floor(backup.length * 0.7));
    const beginning = await salvaged('coffer-1', cut, 'collect_what_is_there\nsalvage_volume');
    expect(beginning.equals(content)).toBe(true);
  });
});

async function* piecesOf(bytes: Buffer): AsyncGenerator<Buffer> {
  yield await Promise.resolve(bytes);
}

/** A copy of the archive in which a bit of one member differs. */
function withFlippedBit(archive: Buffer, name: string): Buffer {
  const copy = Buffer.from(archive);
  const content = membersOf(copy).find((member) => member.name === name)?.content;
  if (content === undefined) throw new Error(`the archive has no member ${name}`);
  content.writeUInt8((content.at(-100) ?? 0) ^ 1, content.length - 100);
  return copy;
}
