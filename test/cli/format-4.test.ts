import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { differencesOf } from '../../tools/demo/compare.ts';
import { membersOf, open, inputOf } from '../archive/official-archives.ts';
import { Box, PASSPHRASE } from './box.ts';
import { lastEvent } from './events.ts';

const FORMAT_4 = ['--format', 'qubes-4'];

function bytesOf(box: Box, backup: string): Buffer {
  return readFileSync(box.fileOf(backup));
}

function headerOf(archive: Buffer): string {
  return membersOf(archive)[0]?.content.toString() ?? '';
}

describe('coffer backup --format qubes-4', () => {
  it('makes a backup that can be listed, verified and restored', async () => {
    const [old, fresh] = [await Box.full(undefined, 'dom0'), await Box.empty()];
    const backup = old.backUp(FORMAT_4);
    expect(headerOf(bytesOf(old, backup))).toMatch(/^version=4\n(.*\n)*compression-filter=gzip\n/);

    const list = old.coffer(['list', ...old.secret, '--json', backup]);
    expect(lastEvent(list.stdout)).toMatchObject({ format: 'qubes-4' });
    expect(old.coffer(['verify', ...old.secret, backup])).toMatchObject({ status: 0 });

    old.copyTo(fresh, backup);
    const restore = ['restore', ...fresh.secret, '-x', 'debian', '-y', backup];
    expect(fresh.coffer(restore)).toMatchObject({ status: 0 });
    expect(await differencesOf(old.directory, fresh.directory, ['work', 'vault'])).toEqual([]);
    const restored = readdirSync(fresh.home).find((name) => name.startsWith('home-restore-')) ?? '';
    const [letter] = readdirSync(join(fresh.home, restored), { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('letter'));
    expect(readFileSync(join(fresh.home, restored, letter ?? ''), 'utf8')).toBe('Dear reader\n');
  });

  it('makes a backup within the limits of the official restore', async () => {
    const box = await Box.full(undefined, 'dom0');
    writeFileSync(join(box.home, 'large'), Buffer.alloc(5_000_000, 'x'));
    for (const filter of ['none', 'gzip']) {
      const archive = bytesOf(box, box.backUp([...FORMAT_4, '--compress-filter', filter]));
      const reader = await open(inputOf(archive, true), PASSPHRASE);
      const qubesXml = await reader.qubesXml();
      const directories = [...qubesXml.matchAll(/"backup-path">([^<]+)</g)].map(
        ([, path = '']) => path,
      );
      const sizes = [...qubesXml.matchAll(/"backup-size">(\d+)</g)].map(([, size]) => Number(size));
      expect(directories).toHaveLength(4);
      for (const [i, directory] of directories.entries()) {
        // qfile-dom0-unpacker counts the stored sizes of files, and directories twice.
        const files = membersOf(archive).filter(({ name }) => name.startsWith(directory));
        const stored = files.reduce((sum, { content }) => sum + content.length, 2 * 4096);
        const stated = sizes[i] ?? 0;
        expect(stored).toBeLessThan(stated);
        if (directory.startsWith('dom0-home')) expect(stated).toBeLessThan(8_000_000);
        const allowed = 2 * (10 + Math.floor(stated / (100 * 1024 * 1024)));
        expect(files.length + 2).toBeLessThanOrEqual(allowed);
      }
    }
  });

  it('makes a backup that is refused if its end is missing', async () => {
    const box = await Box.full(undefined, 'dom0');
    const backup = box.backUp(FORMAT_4);
    const archive = bytesOf(box, backup);
    const manifest = membersOf(archive).at(-1);
    expect(manifest?.name).toBe('coffer-manifest.000.enc');
    const end = archive.length - 1024 - (manifest?.blocks.length ?? 0);
    writeFileSync(join(box.directory, 'homes/usb/short'), archive.subarray(0, end));
    const verify = box.coffer(['verify', ...box.secret, 'short']);
    expect(verify).toMatchObject({ status: 3 });
    expect(verify.stderr).toMatch(/the backup is cut short: the manifest at its end is missing/);
  });

  it('uses the requested filter and key cost', async () => {
    const box = await Box.full(undefined, 'dom0');
    const archive = bytesOf(
      box,
      box.backUp([...FORMAT_4, '--compress-filter', 'zstd', '--kdf-cost', '15', '-x', 'debian']),
    );
    expect(headerOf(archive)).toContain('compression-filter=zstd\n');
    expect(
      new Set(
        membersOf(archive)
          .slice(1)
          .map(({ content }) => content[7]),
      ),
    ).toEqual(new Set([15]));
  });

  it.each([
    ['--no-encrypt', /always encrypted/],
    ['--with-recovery', /recover\.sh only reads coffer-1/],
  ])('is refused with %s', async (option, why) => {
    const box = await Box.full(undefined, 'dom0');
    const run = box.coffer([
      'backup',
      '-d',
      'usb',
      ...box.secret,
      ...FORMAT_4,
      option,
      '-y',
      'backups',
    ]);
    expect(run).toMatchObject({ status: 2 });
    expect(run.stderr).toMatch(why);
    expect(readdirSync(box.backups)).toEqual([]);
  });

  it('stores the home under the name of its user, where tar and scrypt find it', async () => {
    const box = await Box.full(undefined, 'dom0');
    const archive = bytesOf(box, box.backUp([...FORMAT_4, '-x', 'debian']));
    const sealed = membersOf(archive).find(({ name }) => name === 'dom0-home/user.000.enc');
    const [, id = ''] = /backup-id=(.*)/.exec(headerOf(archive)) ?? [];
    const file = join(box.directory, 'part');
    writeFileSync(file, sealed?.content ?? '');
    const open = `scrypt dec --passphrase dev:stdin-once "$1" | gzip -d | tar -xO dom0-home/user/letter`;
    const phrase = `${id}!dom0-home/user.000!${PASSPHRASE}\n`;
    const opened = spawnSync('sh', ['-c', open, 'sh', file], { input: phrase, encoding: 'utf8' });
    expect(opened.stdout).toBe('Dear reader\n');
  });
});
