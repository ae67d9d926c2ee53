import { spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Content } from '../../dom0-agent/archive/content.ts';
import { homeTar } from '../../dom0-agent/backup/home-tar.ts';
import { WorkDirectory, fixture, noise } from '../archive/official-archives.ts';
import { makeQubes3 } from '../archive/qubes3/make-qubes3.ts';
import { PASSPHRASE, coffer1Backup, smallFile } from './backups.ts';
import { imageFile, makeImage } from './image.ts';
import { Recovery, SCRIPT, SHELLS } from './script.ts';

const image = makeImage();
const NOTES = 'notes of the VM work\n';
const FILES = ['qubes.xml', 'vm5/notes.txt', 'vm5/private.img', 'vm55/private.img'];
const other = (): Content => smallFile('vm55/private.img', 'of another VM');
const filesOfBackup = (): Content[] => [
  imageFile('vm5/private.img', image),
  smallFile('vm5/notes.txt', NOTES),
  other(),
];
const backup = await coffer1Backup(filesOfBackup());

describe('recover.sh', () => {
  it('passes shellcheck', () => {
    const { stdout } = spawnSync('shellcheck', ['-s', 'sh', SCRIPT], { encoding: 'utf8' });
    expect(stdout).toBe('');
  });

  it.each(SHELLS)('lists the files of a backup (%s)', (shell) => {
    using recovery = new Recovery(backup, shell);
    const { status, stdout, stderr } = recovery.list();
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('A backup of 2026-11-23T19:42:01Z');
    expect(stdout).toMatch(/^vm5\/private\.img +[0-9]+ bytes +work$/m);
    expect(stdout).toMatch(/^vm55\/private\.img +[0-9]+ bytes +$/m);
    expect(recovery.leftovers()).toEqual([]);
  });

  it.each(SHELLS)('recovers everything, holes included (%s)', (shell) => {
    using recovery = new Recovery(backup, shell);
    expect(recovery.recover()).toMatchObject({ status: 0, stderr: '' });
    expect(recovery.recovered()).toEqual(FILES);
    expect(recovery.read('vm5/private.img').equals(image)).toBe(true);
    expect(recovery.read('vm5/notes.txt').toString()).toBe(NOTES);
    expect(recovery.leftovers()).toEqual([]);
  });

  it.each(['zstd', 'gzip', undefined] as const)(
    'recovers from a backup that was compressed with %s, encrypted or not',
    async (compressionFilter) => {
      for (const encrypted of [true, false]) {
        using recovery = new Recovery(
          await coffer1Backup(filesOfBackup(), { compressionFilter, encrypted }),
        );
        expect(recovery.recover('vm5/private.img')).toMatchObject({ status: 0, stderr: '' });
        expect(recovery.read('vm5/private.img').equals(image)).toBe(true);
      }
    },
  );

  it.each([
    [['vm5/notes.txt'], ['vm5/notes.txt']],
    [['work'], ['vm5/notes.txt', 'vm5/private.img']],
    [['vm5/'], ['vm5/notes.txt', 'vm5/private.img']],
    [
      ['vm55', 'qubes.xml', 'vm55'],
      ['qubes.xml', 'vm55/private.img'],
    ],
  ])('recovers the files that %j selects', (what, files) => {
    using recovery = new Recovery(backup);
    expect(recovery.recover(...what)).toMatchObject({ status: 0, stderr: '' });
    expect(recovery.recovered()).toEqual(files);
  });

  it("recovers dom0's home under the name dom0", async () => {
    using home = new WorkDirectory();
    home.write('user/.config/a file', 'settings');
    const tar = homeTar(
      `${home.path}/user`,
      'dom0-home/home',
      { changed: () => undefined, unread: () => undefined },
      new AbortController().signal,
    );
    using recovery = new Recovery(
      await coffer1Backup([{ kind: 'tree', path: 'dom0-home/home', tar }]),
    );
    expect(recovery.recover('dom0')).toMatchObject({ status: 0, stderr: '' });
    expect(recovery.read('dom0-home/home/.config/a file').toString()).toBe('settings');
  });

  it('reads more than a thousand parts', async () => {
    const volume = Buffer.alloc(1002 * 65_536, 'x');
    // No two chunks are equal, so that each has a part of its own.
    for (let chunk = 0; chunk < 1002; chunk++) volume.writeUInt32BE(chunk, chunk * 65_536);
    const thousandParts = smallFile('vm5/private.img', volume);
    const options = { compressionFilter: undefined };
    using recovery = new Recovery(await coffer1Backup([thousandParts, other()], options));
    expect(recovery.list()).toMatchObject({ status: 0, stderr: '' });
    expect(recovery.recover('vm55')).toMatchObject({ status: 0, stderr: '' });
  });

  it.each(SHELLS)(
    'recovers volumes without data, and with zeros at their end (%s)',
    async (shell) => {
      const volumes = {
        'vm5/private.img': Buffer.alloc(200_005),
        'vm6/private.img': Buffer.concat([Buffer.alloc(70_000, 1), Buffer.alloc(200_003)]),
      };
      const files = Object.entries(volumes).map(([path, bytes]) => smallFile(path, bytes));
      using recovery = new Recovery(await coffer1Backup(files), shell);
      expect(recovery.recover()).toMatchObject({ status: 0, stderr: '' });
      for (const [path, bytes] of Object.entries(volumes)) {
        expect(recovery.read(path).equals(bytes), path).toBe(true);
      }
    },
  );

  it('recovers the empty file of a VM without other files', async () => {
    using recovery = new Recovery(await coffer1Backup([smallFile('vm5/empty', '')]));
    expect(recovery.list()).toMatchObject({ status: 0, stderr: '' });
    expect(recovery.recover('work')).toMatchObject({ status: 0, stderr: '' });
    expect(recovery.read('vm5/empty')).toHaveLength(0);
  });

  it('recovers images with holes, as files that only their owner can read', () => {
    using recovery = new Recovery(backup);
    recovery.recover('vm5/private.img');
    const { blocks, size, mode } = statSync(recovery.pathOf('vm5/private.img'));
    expect(512 * blocks).toBeLessThan(size / 2);
    expect(mode & 0o077).toBe(0);
  });

  it('does not overwrite a file', () => {
    using recovery = new Recovery(backup);
    expect(recovery.recover('qubes.xml').status).toBe(0);
    const again = recovery.recover();
    expect(again.status).toBe(1);
    expect(again.stderr).toContain('exists already');
    expect(recovery.recovered()).toEqual(['qubes.xml']);
  });

  it('reports a directory that it cannot write to', () => {
    using recovery = new Recovery(backup);
    recovery.write('out', 'a file');
    expect(recovery.recover().status).toBe(1);
  });

  it('reads the passphrase from standard input for -p -', () => {
    using recovery = new Recovery(backup);
    expect(recovery.run('-p', '-', 'a backup').stderr).toContain('the passphrase is empty');
    expect(recovery.runWith(`${PASSPHRASE}\n`, '-p', '-', 'a backup').status).toBe(0);
  });

  it('asks a terminal for the passphrase and does not show it', () => {
    using recovery = new Recovery(backup);
    const { status, stdout } = recovery.runOnTerminal(`${PASSPHRASE}\n`, 'a backup');
    expect(status).toBe(0);
    // The terminal echoes what was typed before the question.
    const [, answer] = stdout.split('Passphrase: ');
    expect(answer).toContain('vm5/private.img');
    expect(answer).not.toContain('staple');
  });

  it.each([
    [[], /usage/],
    [['-x'], /usage/],
    [['nothing-here'], /nothing-here does not exist, or cannot be read/],
    [['-p', 'nothing-here', 'a backup'], /passphrase file nothing-here/],
    [['-p', 'passphrase', 'a backup', 'out', 'nothing-here'], /no nothing-here in the backup/],
  ])('refuses the command line %j', (args, message) => {
    using recovery = new Recovery(backup);
    const { status, stderr } = recovery.run(...args);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
    expect(recovery.recovered()).toEqual([]);
  });

  it.each(SHELLS)('reports a file that cannot be written (%s)', (shell) => {
    using recovery = new Recovery(backup, shell);
    const { status, stderr } = recovery.recoverWithoutSpace();
    expect(status).toBe(1);
    expect(stderr).toContain('vm5/private.img is too large for the file system of ./out');
    expect(recovery.recovered()).toEqual(['qubes.xml', 'vm5/notes.txt']);
    expect(recovery.leftovers()).toEqual([]);
  });

  it('ignores zeros after a backup', () => {
    using recovery = new Recovery(Buffer.concat([backup, Buffer.alloc(70_000)]));
    expect(recovery.recover()).toMatchObject({ status: 0, stderr: '' });
    expect(recovery.recovered()).toEqual(FILES);
  });

  it.each([
    ['a line feed', Buffer.from('\n'), '1 byte'],
    ['another backup', backup, `${backup.length} bytes`],
  ])(
    'says that a backup that is followed by %s is complete, and how to cut it off',
    (_, behind, count) => {
      using recovery = new Recovery(Buffer.concat([backup, behind]));
      expect(recovery.recover()).toMatchObject({
        status: 3,
        stderr:
          `recover.sh: the backup is complete, but followed by ${count} that do not belong to it: ` +
          `its first ${backup.length} bytes are the backup, \`head -c ${backup.length}\` copies them\n`,
      });
      expect(recovery.recovered()).toEqual([]);
    },
  );

  it.each([
    ['qubes4-gzip.backup', 'Format 4'],
    ['qubes3-plain.backup', 'Format 3'],
    ['qubes2-encrypted.backup', 'Format 2'],
  ])('recognises %s, and names the section of the page for it', (name, section) => {
    using recovery = new Recovery(fixture(name));
    const { status, stderr } = recovery.list();
    expect({ status, stderr }).toMatchObject({ status: 1 });
    expect(stderr).toContain(`docs/recovery.md explains, under "${section}"`);
  });

  it('recognises a backup of format 2 without a header', () => {
    const recipe = { version: 2, files: {}, passphrase: 'x', header: false } as const;
    using recovery = new Recovery(makeQubes3(recipe));
    const { status, stderr } = recovery.list();
    expect({ status, stderr }).toMatchObject({ status: 1 });
    expect(stderr).toContain('Format 2');
  });

  it('shows its progress with a large file on a terminal', async () => {
    const files = [smallFile('vm5/private.img', noise(3 * 2 ** 20))];
    const options = { compressionFilter: undefined };
    using recovery = new Recovery(await coffer1Backup(files, options));
    const { status, stdout } = recovery.runOnTerminal('', '-p', 'passphrase', 'a backup', 'out');
    expect(status).toBe(0);
    expect(stdout).toContain('\rvm5/private.img: 2 of 3 MiB');
  });

  it('does not show the passphrase or the root key in the arguments of a program', () => {
    using recovery = new Recovery(backup);
    const trace = recovery.pathOf('../trace');
    const { status } = recovery.trace(trace, '-p', 'passphrase', 'a backup', 'out', 'work');
    expect(status).toBe(0);
    const executed = readFileSync(trace, 'latin1');
    expect(executed).toMatch(/execve\("[^"]*openssl", \["openssl", "pkeyutl", "-kdf", "scrypt"/);
    expect(executed).not.toContain('staple');
    // Keys of 64 bytes in hex: the root key and the MAC keys. The salt has 32 bytes.
    expect(executed).not.toMatch(/[0-9a-f]{128}/);
  });
});
