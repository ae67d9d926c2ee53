import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  WorkDirectory,
  expectedOfFixtures,
  fixture,
  membersOf,
  sha256,
} from '../archive/official-archives.ts';
import { PASSPHRASE as FORMAT_4_PASSPHRASE, makeArchive } from '../archive/qubes4/write-sample.ts';
import { PASSPHRASE, coffer1Backup, smallFile } from './backups.ts';
import { followPage } from './document.ts';
import { FILES_IN_IMAGE, imageFile, makeImage } from './image.ts';

const image = makeImage();
const FILE = 'vm5/private.img';

/** The sections of docs/recovery.md, the fixtures they are for, and where these keep a VM's files. */
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
  it.each([
    ['encrypted and compressed', {}, 'sh'],
    ['encrypted and compressed', {}, 'bash'],
    ['not encrypted', { encrypted: false }, 'sh'],
    ['not compressed', { compressionFilter: undefined }, 'sh'],
  ])('gets the files back from a coffer-1 backup, %s, %j, with %s', async (_, options, shell) => {
    using work = new WorkDirectory();
    const files = [imageFile(FILE, image), smallFile('vm5/notes.txt', 'a note')];
    const backup = await coffer1Backup(files, options);
    const outcome = followPage('coffer-1', work, backup, FILE, PASSPHRASE, shell);
    const { status, stdout, stderr } = outcome;
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stdout).not.toMatch(/NOT authentic|MISSING|INCOMPLETE/);
    expect(sha256(work.take(`recovery/${FILE}`))).toBe(sha256(image));
    for (const [name, content] of Object.entries(FILES_IN_IMAGE)) {
      expect(work.take(`recovery/files/${name}`).equals(content)).toBe(true);
    }
  });

  it.each(OFFICIAL)('%s gets the files back from %s', (section, name, vm, directory) => {
    using work = new WorkDirectory();
    const { passphrase, backups } = expectedOfFixtures();
    const file = `${directory}/private.img`;
    const { status, stdout, stderr } = followPage(section, work, fixture(name), file, passphrase);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stdout).toContain('backup-header is authentic');
    expect(sha256(work.take(`recovery/${file}`))).toBe(backups[name]?.[vm]?.['private.img']);
  });

  it('finds what is missing from a backup that coffer wrote in format 4', async () => {
    using work = new WorkDirectory();
    const archive = await makeArchive({ [FILE]: 'a', 'vm5/notes.txt': 'b' });
    const follow = (backup: Buffer): string =>
      followPage('Format 4', work, backup, 'coffer-manifest', FORMAT_4_PASSPHRASE).stdout;
    expect(follow(archive)).toMatch(/1 parts; there should be 1\ncoffer-manifest\n(?!.*MISSING)/);
    rmSync(join(work.path, 'recovery'), { recursive: true });
    const path = work.write('backup', archive);
    execFileSync('tar', ['--delete', '-f', path, `${FILE}.000.enc`]);
    expect(follow(readFileSync(path))).toContain(`${FILE}.000.enc is MISSING or wrong\n`);
  });

  it.each([
    ['coffer-1', undefined],
    ['Format 4', 'qubes4-gzip.backup'],
    ['Format 3', 'qubes3-encrypted.backup'],
    ['Format 2', 'qubes2-encrypted.backup'],
  ])('%s stops at a wrong passphrase', async (section, name) => {
    using work = new WorkDirectory();
    const backup = name === undefined ? await coffer1Backup([]) : fixture(name);
    expect(followPage(section, work, backup, FILE, 'a wrong one').status).not.toBe(0);
    expect(work.has(`recovery/${FILE}`)).toBe(false);
  });

  it.each([
    ['coffer-1', undefined, `${FILE}.002`, /vm5\/private\.img\.002 is NOT authentic/],
    ['Format 4', 'qubes4-gzip.backup', `${FILE}.001.enc`, /not valid scrypt-encrypted/],
    ['Format 3', 'qubes3-encrypted.backup', `${FILE}.001`, /private\.img\.001 is NOT authentic/],
    ['Format 2', 'qubes2-encrypted.backup', `${FILE}.001`, /private\.img\.001 is NOT authentic/],
  ])('%s tells of a damaged part', async (section, name, part, message) => {
    using work = new WorkDirectory();
    const backup =
      name === undefined ? await coffer1Backup([imageFile(FILE, image)]) : fixture(name);
    const passphrase = name === undefined ? PASSPHRASE : expectedOfFixtures().passphrase;
    const { status, stdout, stderr } = followPage(
      section,
      work,
      withFlippedBit(backup, part),
      FILE,
      passphrase,
    );
    expect(status).not.toBe(0);
    expect(stdout + stderr).toMatch(message);
  });
});

/** A copy of the archive in which a bit of one member differs. */
function withFlippedBit(archive: Buffer, name: string): Buffer {
  const copy = Buffer.from(archive);
  const content = membersOf(copy).find((member) => member.name === name)?.content;
  if (content === undefined) throw new Error(`the archive has no member ${name}`);
  content.writeUInt8((content.at(-100) ?? 0) ^ 1, content.length - 100);
  return copy;
}
