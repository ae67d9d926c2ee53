import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { AS_ROOT, giveToOtherUser, nodeIn, otherUser } from '../other-user.ts';
import { Box, type Run } from './box.ts';

const COFFER = new URL('../../dist/coffer', import.meta.url).pathname;

/** Backs up `work` into a directory of dom0, as this or another user; a shell runs `prepare` before that. */
function backUp(box: Box, directory: string, prepare: string, user: typeof otherUser = {}): Run {
  // Another user may have no access to the clone.
  const coffer = join(box.directory, 'coffer');
  copyFileSync(COFFER, coffer);
  nodeIn(box.directory);
  const words = ['backup', '-q', '-y', '--system', box.directory, '--kdf-cost', '14'];
  return spawnSync(
    'sh',
    [
      ...['-c', `${prepare}; exec "$@"`, 'sh', coffer, ...words],
      ...['-p', box.passphraseFile, directory, 'work'],
    ],
    {
      ...user,
      encoding: 'utf8',
      env: {
        ...process.env,
        // The module that the tests preload is in the clone.
        NODE_OPTIONS: '',
        HOME: '/',
        PATH: `${box.directory}:${process.env['PATH'] ?? ''}`,
      },
    },
  );
}

describe('a directory for backups', () => {
  it('need not be readable if it is writable', async () => {
    const box = await Box.full();
    const drop = join(box.directory, 'drop');
    mkdirSync(drop);
    giveToOtherUser(box.directory);
    chmodSync(drop, 0o333);
    const run = backUp(box, drop, ':', otherUser);
    chmodSync(drop, 0o777);
    expect(run, run.stderr).toMatchObject({ status: 0 });
    const [name = ''] = readdirSync(drop);
    const verified = box.coffer(['verify', ...box.secret, join(drop, name)]);
    expect(verified, verified.stderr).toMatchObject({ status: 0 });
  });

  it('is refused with that reason if its file system is read-only', async () => {
    const box = await Box.full();
    const directory = join(box.directory, 'ro');
    mkdirSync(directory);
    const mounted = `mount -t tmpfs -o ro none '${directory}'`;
    const words = ['backup', '-q', '-y', '--system', box.directory, '--kdf-cost', '14'];
    const [program = '', ...asRoot] = AS_ROOT;
    const run = spawnSync(
      program,
      [
        ...[...asRoot, 'sh', '-c', `${mounted}; exec "$@"`, 'sh', COFFER],
        ...[...words, '-p', box.passphraseFile, directory, 'work'],
      ],
      { encoding: 'utf8' },
    );
    expect(run).toMatchObject({ status: 5 });
    expect(run.stderr).toMatch(/^coffer: The file system of .*\/ro in dom0 is read-only: mount it/);
  });

  it('fails with FAT as the probable reason if it does not accept a file of that size', async () => {
    const box = await Box.full();
    const directory = join(box.directory, 'out');
    mkdirSync(directory);
    const run = backUp(box, directory, 'ulimit -f 100');
    expect(run).toMatchObject({ status: 4 });
    expect(run.stderr).toMatch(/does not accept a file of this size.*FAT.*4 GiB.*ulimit -f/);
    expect(readdirSync(directory)).toEqual([]);
  });
});
