import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Scene, makeScene } from '../qubesd/scene.ts';
import { imagePath } from '../qubesd/volumes.ts';
import { builtRpms, repository, version } from './build-packages.ts';
import { Root } from './root.ts';

/**
 * A root directory that stands in for both dom0 and the storage VM sys-net, with both packages installed. Only the
 * double of qubesd is outside of it; inside, qrexec-client and the import service are doubles in their real places.
 */
const doubles = path.join(repository, 'test/qubesd');
const root = new Root();
let scene: Scene;

beforeAll(async () => {
  scene = await makeScene();
  const { dom0, vm } = await builtRpms();
  root.populate();
  root.rpm('--install', dom0, vm);
  placeDoubles();
}, 300_000);
afterAll(async () => {
  root[Symbol.dispose]();
  await scene[Symbol.asyncDispose]();
});

function placeDoubles(): void {
  for (const directory of ['var/run', 'doubles', 'usr/lib/qubes', 'home/user/backups', 'root']) {
    mkdirSync(path.join(root.path, directory), { recursive: true });
  }
  mkdirSync(path.join(root.path, scene.directory), { recursive: true });
  writeFileSync(path.join(root.path, 'var/run/qubesd.sock'), '');
  const settings = {
    socketPath: '/var/run/qubesd.sock',
    services: { 'sys-net': '/etc/qubes-rpc' },
    homes: { 'sys-net': '/home/user' },
    workingDirectory: '/',
  };
  writeFileSync(path.join(root.path, 'settings.json'), JSON.stringify(settings));
  const program = (file: string, words: string): void =>
    writeFileSync(path.join(root.path, file), `#!/bin/sh\nexec /usr/bin/node ${words} "$@"\n`, {
      mode: 0o755,
    });
  program('usr/lib/qubes/qrexec-client', '/doubles/qrexec-client.mjs /settings.json');
  program(
    'etc/qubes-rpc/admin.vm.volume.ImportWithSize',
    "/doubles/import-service.mjs /var/run/qubesd.sock ''",
  );
  writeFileSync(path.join(root.path, 'root/passphrase'), 'correct horse\n', { mode: 0o600 });
}

interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program in the root. The doubles run in this process, which therefore must not block. */
async function run(words: readonly string[]): Promise<Run> {
  const [program = '', ...rest] = root.inside(words, {
    '/doubles': doubles,
    '/var/run/qubesd.sock': scene.qubesd.socketPath,
    [scene.directory]: scene.directory,
  });
  const child = spawn(program, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // Variables that a login shell of dom0's user may have, and the storage VM must not get.
    env: {
      HOME: '/root',
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      LC_ALL: 'C.UTF-8',
      NODE_NO_WARNINGS: '1',
    },
  });
  const closed = once(child, 'close');
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  await closed;
  return { status: child.exitCode, stdout, stderr };
}

const WITH_KEY = ['-p', '/root/passphrase'];
const CONTENT = Buffer.alloc(3_000_000, 'the work of years ');

/** The image of a VM's private volume. */
function imageOf(qube: string): string {
  const volume = scene.qubesd.store.qubes.get(qube)?.volumes.get('private');
  if (volume === undefined) throw new Error(`no private volume of ${qube}`);
  return imagePath(scene.qubesd.store, volume);
}

describe('the installed packages', () => {
  it('print their version', async () => {
    expect(await run(['coffer', '--version'])).toMatchObject({ status: 0, stdout: `${version}\n` });
  });

  it('back up through the qrexec services, verify and restore', async () => {
    mkdirSync(path.dirname(imageOf('work')), { recursive: true });
    writeFileSync(imageOf('work'), CONTENT);
    const backup = ['coffer', 'backup', '-d', 'sys-net', ...WITH_KEY, '--kdf-cost', '14', '--yes'];
    expect(await run([...backup, 'backups', 'work'])).toMatchObject({ status: 0 });
    const [name = '', ...others] = readdirSync(path.join(root.path, 'home/user/backups'));
    expect(others).toEqual([]);
    const mode = root.list().find((line) => line.endsWith(`/home/user/backups/${name}`));
    expect(mode).toMatch(/^-rw------- /);

    const file = `backups/${name}`;
    const verify = ['coffer', 'verify', '-d', 'sys-net', ...WITH_KEY, file];
    expect(await run(verify)).toMatchObject({ status: 0 });

    const restore = ['coffer', 'restore', '-d', 'sys-net', ...WITH_KEY, '--yes'];
    expect(await run([...restore, '--rename-conflicting', file, 'work'])).toMatchObject({
      status: 0,
    });
    expect(readFileSync(imageOf('work-1')).equals(CONTENT)).toBe(true);
  });

  it('back up with a profile by the command of the systemd unit', async () => {
    const unit = root.read('/usr/lib/systemd/system/coffer-backup@.service');
    const [, command = ''] = /^ExecStart=(.*)$/m.exec(unit) ?? [];
    const profile = 'dest-vm = sys-net\nlocation = by-profile\nvm = work\nkdf-cost = 14\n';
    writeFileSync(
      path.join(root.path, 'etc/qubes/coffer.d/weekly.conf'),
      `${profile}passphrase-file = /root/passphrase\n`,
    );
    mkdirSync(path.join(root.path, 'home/user/by-profile'));
    expect(await run(command.replaceAll('%i', 'weekly').split(' '))).toMatchObject({ status: 0 });
    expect(readdirSync(path.join(root.path, 'home/user/by-profile'))).toHaveLength(1);
  });

  it('run commands in a clean environment, and with NoNewPrivs', async () => {
    const command =
      'cat > by-command; env > environment; umask > mask; grep NoNewPrivs /proc/self/status > privileges';
    const backup = ['coffer', 'backup', '-d', 'sys-net', ...WITH_KEY, '--kdf-cost', '14', '--yes'];
    expect(await run([...backup, '--command', command, 'work'])).toMatchObject({ status: 0 });
    const variables = root.read('/home/user/environment').trim().split('\n');
    expect(variables.filter((line) => !/^(PWD|OLDPWD|_)=/.test(line)).sort()).toEqual([
      'HOME=/home/user',
      'LANG=C.UTF-8',
      'LOGNAME=root',
      'PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin',
      'SHELL=/bin/sh',
      'USER=root',
    ]);
    expect(root.read('/home/user/mask')).toBe('0077\n');
    expect(root.read('/home/user/privileges')).toMatch(/NoNewPrivs:\s+1\n/);
    const fromCommand = ['--command', ...WITH_KEY, 'cat by-command'];
    expect(await run(['coffer', 'verify', '-d', 'sys-net', ...fromCommand])).toMatchObject({
      status: 0,
    });
  });

  it('say what to install if the VM package is missing', async () => {
    root.rpm('--erase', 'qubes-coffer-vm');
    expect(existsSync(path.join(root.path, 'etc/qubes-rpc/coffer.Store'))).toBe(false);
    const { status, stderr } = await run(['coffer', 'verify', '-d', 'sys-net', ...WITH_KEY, 'x']);
    expect(stderr).toContain('install the package qubes-coffer-vm');
    expect(status).toBe(5);
  });
});
