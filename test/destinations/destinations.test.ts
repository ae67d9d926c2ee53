import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { Box, type Run } from '../cli/box.ts';
import {
  type Running,
  breakingProxy,
  rcloneConfig,
  sshConfig,
  startCloud,
  startSshd,
} from './servers.ts';

/** Tries each recipe of docs/destinations.md as it is written there. */
const DOCUMENT = readFileSync(new URL('../../docs/destinations.md', import.meta.url), 'utf8');
const COFFER_SSH = new URL('../../vm-agent/through/coffer-ssh', import.meta.url);
const COFFER_RCLONE = new URL('../../vm-agent/through/coffer-rclone', import.meta.url);

let box: Box;
const rubbish: (() => unknown)[] = [];
const servers: Running[] = [];
beforeEach(async () => {
  // If it is set, rclone accepts no S3 server.
  vi.stubEnv('AWS_CA_BUNDLE', undefined);
  box = await Box.full((remove) => rubbish.push(remove));
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]();
  for (const remove of rubbish.splice(0)) await remove();
});

async function serving<T extends Running>(server: Promise<T>): Promise<T> {
  const started = await server;
  servers.push(started);
  return started;
}

/** The command of the recipe `name` in the document, with `places` replaced. */
function recipe(name: string, places: Readonly<Record<string, string>>): string {
  const [, block = ''] = new RegExp(`<!-- ${name} -->\n\n((?: {4}.*\n|\n)+)`).exec(DOCUMENT) ?? [];
  const [, command] = /^ {4,}'(.*)'/m.exec(block) ?? [];
  if (command === undefined) throw new Error(`there is no recipe ${name}`);
  return Object.entries(places).reduce((text, [from, to]) => text.replaceAll(from, to), command);
}

/** Runs the command line of the recipe `name` in the document, with the words in `places` replaced. */
function runRecipe(name: string, places: Readonly<Record<string, string>>): Run {
  const [, line = ''] = new RegExp(`<!-- ${name} -->\n\n {4}coffer (.*)\n`).exec(DOCUMENT) ?? [];
  const [command = '', ...words] = line.split(' ').map((word) => places[word] ?? word);
  const options: Partial<Record<string, string[]>> = {
    backup: ['-y'],
    restore: ['-y', '--rename-conflicting'],
  };
  const given = [...box.secret, ...(options[command] ?? [])];
  return box.loud([command, ...given, ...words]);
}

/** Makes and restores a series through a command as the document says; unless `isPruned` is false, also verifies, restores by date, and prunes it. */
async function expectSeries(
  tool: 'ssh' | 'rclone',
  places: Readonly<Record<string, string>>,
  files: string,
  isPruned = true,
): Promise<void> {
  const run = (what: string): Run => {
    const done = runRecipe(`through ${tool}: ${what}`, { 'sys-net': 'usb', ...places });
    expect(done.status, done.stderr).toBe(0);
    return done;
  };
  run('back up');
  await changeWork(box);
  expect(run('back up').stdout).toMatch(/1 of 1 VMs changed; .* already there; stored and checked/);
  const sizes = readdirSync(files)
    .sort()
    .map((name) => statSync(join(files, name)).size);
  expect(sizes).toHaveLength(2);
  expect(sizes[1]).toBeLessThan((sizes[0] ?? 0) * 0.9);
  expect(run('list').stdout).toContain('2 backups in');
  run('restore');
  if (!isPruned) return;
  const [through = '', location = ''] = [`coffer-${tool}`, LOCATIONS[tool]].map(
    (word) => places[word],
  );
  const there = ['-d', 'usb', '--through', through, ...box.secret];
  expect(box.loud(['verify', ...there, '--all', location])).toMatchObject({ status: 0 });
  const [first = ''] = readdirSync(files).sort();
  const dated = `${location}@${first.replace('qubes-backup-', '')}`;
  const restored = box.loud(['restore', '-y', '--new-name', 'work=then', ...there, dated, 'work']);
  expect(restored.status, restored.stderr).toBe(0);
  const pruned = box.loud(['prune', ...there, '-y', '--keep-last', '1', location]);
  expect(pruned.status, pruned.stderr).toBe(0);
  expect(readdirSync(files)).not.toContain(first);
  expect(box.loud(['verify', ...there, location])).toMatchObject({ status: 0 });
}

const LOCATIONS = { ssh: 'backup@example.org:backups', rclone: 'cloud:backups' };

/** Changes some of the private volume of `work`. */
async function changeWork({ directory }: Box): Promise<void> {
  const system = await openFolderSystem(directory);
  async function* pieces(): AsyncGenerator<{ offset: number; bytes: Buffer }> {
    yield await Promise.resolve({ offset: 2_000_000, bytes: randomBytes(150_000) });
  }
  const { signal } = new AbortController();
  await system.importVolume('work', 'private', 8_000_000, pieces(), signal);
}

function backUp(command: string): Run {
  const words = ['backup', '-d', 'usb', ...box.secret, '-y', '--command', command, 'work', 'vault'];
  return box.loud(words);
}

/** Verifies and restores a backup that this command gives. */
function restored(command: string): Run {
  const from = ['-d', 'usb', ...box.secret, '--command', command];
  const verified = box.loud(['verify', ...from]);
  expect(verified.status, verified.stderr).toBe(0);
  return box.loud(['restore', ...from, '-y', '--rename-conflicting', 'work']);
}

/** What the document says to write into the configuration of `ssh`, so that it keeps one connection open. */
function keptOpen(): string {
  const [, lines = ''] = /^ {4}Host example\.org\n((?: {6}.*\n)+)/m.exec(DOCUMENT) ?? [];
  expect(lines).toContain('ControlMaster auto');
  return lines.replace('~/.ssh', box.directory);
}

describe('an OpenSSH server', () => {
  const PLACES = (): Record<string, string> => ({
    'ssh backup@example.org': `ssh -F ${box.directory}/ssh.conf server`,
    'qubes-2026-11-23': `${box.directory}/server/qubes-2026-11-23`,
  });

  it('stores a backup, which can be restored from there', async () => {
    await serving(startSshd(box.directory));
    const made = backUp(recipe('ssh: back up', PLACES()));
    expect(made.status, made.stderr).toBe(0);
    expect(readdirSync(join(box.directory, 'server'))).toEqual(['qubes-2026-11-23']);
    const run = restored(recipe('ssh: restore', PLACES()));
    expect(run.status, run.stderr).toBe(0);
  });

  it('stores a series through coffer-ssh, with one connection that is kept open', async () => {
    const { port } = await serving(startSshd(box.directory));
    sshConfig(box.directory, port, keptOpen());
    const backups = join(box.directory, "server/it's here");
    mkdirSync(backups);
    const places = {
      'coffer-ssh': `coffer-ssh -F ${box.directory}/ssh.conf`,
      'backup@example.org:backups': `server:${backups}`,
    };
    await expectSeries('ssh', places, backups);
    const exit = ['-F', `${box.directory}/ssh.conf`, '-O', 'exit', 'server'];
    execFileSync('ssh', exit, { stdio: 'ignore' });
  });

  it.each([
    ['coffer-ssh', 'server:', () => readFileSync(COFFER_SSH, 'utf8')],
    ['the example of the document', '', example],
  ])('fails if %s cannot list the whole directory', (_, server, content) => {
    const bin = join(box.directory, 'bin');
    mkdirSync(bin);
    const program = (name: string, script: string): string => {
      writeFileSync(join(bin, name), script, { mode: 0o755 });
      return join(bin, name);
    };
    const command = program('command', content());
    // Runs its last argument, as ssh does on the server.
    program('ssh', '#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n');
    const directory = join(box.directory, 'listed');
    mkdirSync(directory);
    for (const name of ['one', 'two']) writeFileSync(join(directory, name), name);
    const list = () =>
      spawnSync(command, {
        encoding: 'utf8',
        env: {
          PATH: `${bin}:/usr/bin:/bin`,
          ...{ COFFER_DO: 'list', COFFER_FILE: '' },
          COFFER_DIRECTORY: server + directory,
        },
      });
    expect(list()).toMatchObject({ status: 0, stderr: '' });
    expect(list().stdout.split('\n').filter(Boolean).sort()).toEqual(['3 one', '3 two']);
    // A file that was removed meanwhile, or cannot be read from the disk.
    program(
      'stat',
      '#!/bin/sh\necho "3 ./one"; echo "stat: two: Input/output error" >&2; exit 1\n',
    );
    expect(list()).toMatchObject({ status: 1, stderr: 'stat: two: Input/output error\n' });
  });

  it('has no new file of a series if the connection breaks, and the next backup continues the series', async () => {
    const { port } = await serving(startSshd(box.directory));
    const backups = join(box.directory, 'server/backups');
    mkdirSync(backups);
    const places = {
      ...{ 'sys-net': 'usb', 'coffer-ssh': `coffer-ssh -F ${box.directory}/ssh.conf` },
      'backup@example.org:backups': `server:${backups}`,
    };
    expect(runRecipe('through ssh: back up', places)).toMatchObject({ status: 0 });
    const first = readdirSync(backups);
    await changeWork(box);
    const proxy = await serving(breakingProxy(port, { times: 1, after: 100_000 }));
    sshConfig(box.directory, proxy.port);
    const broken = runRecipe('through ssh: back up', places);
    expect(broken.status, broken.stderr).toBe(4);
    expect(await proxy.broken()).toBe(1);
    expect(readdirSync(backups).filter((name) => !name.endsWith('.partial'))).toEqual(first);
    const next = runRecipe('through ssh: back up', places);
    expect(next.status, next.stderr).toBe(0);
    expect(next.stdout).toContain('1 of 1 VMs changed');
    expect(runRecipe('through ssh: restore', places)).toMatchObject({ status: 0 });
  });

  it('has no backup if the connection breaks, and the next one succeeds', async () => {
    const { port } = await serving(startSshd(box.directory));
    const proxy = await serving(breakingProxy(port, { times: 1, after: 200_000 }));
    sshConfig(box.directory, proxy.port);
    const broken = backUp(recipe('ssh: back up', PLACES()));
    expect(broken.status, broken.stderr).toBe(4);
    expect(await proxy.broken()).toBe(1);
    expect(readdirSync(join(box.directory, 'server'))).not.toContain('qubes-2026-11-23');
    const next = backUp(recipe('ssh: back up', PLACES()));
    expect(next.status, next.stderr).toBe(0);
    expect(restored(recipe('ssh: restore', PLACES())).status).toBe(0);
  });

  it('that only accepts new files does not overwrite an old one', async () => {
    const [, line = ''] = /^ {4}(restrict,command=".*")/m.exec(DOCUMENT) ?? [];
    const options = line.replace('backups/', `${box.directory}/server/`);
    expect(options).toMatch(/^restrict,command=/);
    await serving(startSshd(box.directory, options));
    const command = recipe('ssh: append-only', PLACES()).replaceAll(`${box.directory}/server/`, '');
    const made = backUp(command);
    expect(made.status, made.stderr).toBe(0);
    const file = join(box.directory, 'server/qubes-2026-11-23');
    const before = readFileSync(file);
    expect(backUp(command).status).toBe(4);
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(readdirSync(join(box.directory, 'server'))).toEqual(['qubes-2026-11-23']);
    expect(restored(`cat ${file}`).status).toBe(0);
  });
});

describe.each(['webdav', 'sftp', 's3'] as const)('a cloud by %s and rclone', (protocol) => {
  let cloud: string;
  let config: string;
  const places = (): Record<string, string> => ({ rclone: `rclone --config ${config}` });
  beforeEach(async () => {
    cloud = join(box.directory, 'cloud');
    mkdirSync(join(cloud, 'backups'), { recursive: true });
    const { port } = await serving(startCloud(protocol, cloud));
    config = rcloneConfig(box.directory, protocol, port);
  });

  it('stores a backup, which can be restored from there', () => {
    const made = backUp(recipe('rclone: back up', places()));
    expect(made.status, made.stderr).toBe(0);
    expect(readdirSync(join(cloud, 'backups'))).toEqual(['qubes-2026-11-23']);
    const run = restored(recipe('rclone: restore', places()));
    expect(run.status, run.stderr).toBe(0);
  });

  it('stores a series through coffer-rclone', async () => {
    const places = {
      'coffer-rclone': `coffer-rclone --config ${config}`,
      'cloud:backups': 'cloud:backups',
    };
    await expectSeries('rclone', places, join(cloud, 'backups'), protocol === 's3');
  });

  it('never overwrites a file through coffer-rclone, even one that another machine has stored meanwhile', () => {
    const write = (input: string) =>
      spawnSync(fileURLToPath(COFFER_RCLONE), ['--config', config], {
        encoding: 'utf8',
        input,
        env: {
          ...process.env,
          ...{ COFFER_DO: 'write', COFFER_DIRECTORY: 'cloud:backups', COFFER_FILE: 'backup' },
        },
      });
    expect(write('one')).toMatchObject({ status: 0 });
    const again = write('another');
    expect(again.status).toBe(1);
    expect(again.stderr).toContain('cloud:backups/backup exists already');
    expect(readFileSync(join(cloud, 'backups/backup'), 'utf8')).toBe('one');
  });

  it('stores a series that is copied there later, each file once, and can be restored', () => {
    const inVm = (words: string): Run => {
      const [, block = ''] = new RegExp(`<!-- ${words} -->\n\n {4}(.*)\n`).exec(DOCUMENT) ?? [];
      const script = block.replaceAll('rclone', `rclone --config ${config}`);
      return box.inVm(script);
    };
    box.backUp();
    expect(inVm('series: send')).toMatchObject({ status: 0 });
    box.goOn();
    const sent = inVm('series: send');
    expect(sent.status, sent.stderr).toBe(0);
    expect(readdirSync(join(cloud, 'backups'))).toEqual(readdirSync(box.backups));
    mkdirSync(join(box.directory, 'homes/usb/fetched'));
    expect(inVm('series: fetch')).toMatchObject({ status: 0 });
    const words = ['-d', 'usb', ...box.secret, 'fetched'];
    expect(box.loud(['verify', ...words, '--all'])).toMatchObject({ status: 0 });
    const run = box.loud(['restore', ...words, '-y', '--rename-conflicting', 'work']);
    expect(run.status, run.stderr).toBe(0);
  });
});

describe('a connection', () => {
  it('that is slow is waited for', async () => {
    const cloud = join(box.directory, 'cloud');
    mkdirSync(join(cloud, 'backups'), { recursive: true });
    const { port } = await serving(startCloud('sftp', cloud));
    const config = rcloneConfig(box.directory, 'sftp', port);
    const command = recipe('rclone: back up', {
      rclone: `rclone --config ${config} --bwlimit 100k`,
    });
    const begun = performance.now();
    const made = backUp(command);
    expect(made.status, made.stderr).toBe(0);
    // 600 KB of random data.
    expect(performance.now() - begun).toBeGreaterThan(3000);
    expect(restored(`rclone --config ${config} cat cloud:backups/qubes-2026-11-23`).status).toBe(0);
  });

  it('that breaks while rclone copies a series is retried until all files are there', async () => {
    const cloud = join(box.directory, 'cloud');
    mkdirSync(join(cloud, 'backups'), { recursive: true });
    const { port } = await serving(startCloud('webdav', cloud));
    const proxy = await serving(breakingProxy(port, { times: 2, after: 100_000 }));
    const config = rcloneConfig(box.directory, 'webdav', proxy.port);
    box.backUp();
    box.goOn();
    const sent = box.inVm(`rclone --config ${config} copy --immutable backups cloud:backups`);
    expect(sent.status, sent.stderr).toBe(0);
    expect(await proxy.broken()).toBeGreaterThan(0);
    for (const name of readdirSync(box.backups)) {
      const [there, here] = [join(cloud, 'backups', name), join(box.backups, name)];
      expect(readFileSync(there).equals(readFileSync(here))).toBe(true);
    }
  });
});

describe('a cloud by s3 and rclone', () => {
  it('has no object if the connection breaks for good while a backup is sent', async () => {
    const cloud = join(box.directory, 'cloud');
    mkdirSync(join(cloud, 'backups'), { recursive: true });
    const { port } = await serving(startCloud('s3', cloud));
    const proxy = await serving(breakingProxy(port, { times: 1000, after: 300_000 }));
    const config = rcloneConfig(box.directory, 's3', proxy.port);
    const rclone = `rclone --config ${config} --low-level-retries 2`;
    const broken = backUp(recipe('rclone: back up', { rclone }));
    expect(broken.status, broken.stderr).toBe(4);
    expect(await proxy.broken()).toBeGreaterThan(0);
    expect(readdirSync(join(cloud, 'backups'))).toEqual([]);
  });
});

/** The example of a command in the document. */
function example(): string {
  const [, block = ''] = /<!-- a command -->\n\n((?: {4}.*\n|\n)+)/.exec(DOCUMENT) ?? [];
  return block.replaceAll(/^ {4}/gm, '');
}

it('a command as in the example of the document stores a series', async () => {
  const script = join(box.directory, 'homes/usb/own');
  writeFileSync(script, example());
  chmodSync(script, 0o755);
  const backups = join(box.directory, 'homes/usb/away');
  mkdirSync(backups);
  const places = { 'coffer-ssh': './own', 'backup@example.org:backups': 'away' };
  await expectSeries('ssh', places, backups);
});

describe('a disk', () => {
  it('in dom0 stores a series, which can be restored', () => {
    const disk = join(box.directory, 'disk');
    mkdirSync(disk);
    for (const name of ['first', 'second']) {
      const words = ['backup', ...box.secret, '-y', disk, 'work', 'vault'];
      expect(box.loud(words)).toMatchObject({ status: 0 });
      writeFileSync(join(box.home, name), '');
    }
    expect(readdirSync(disk)).toHaveLength(2);
    const run = box.loud(['restore', ...box.secret, '-y', '--rename-conflicting', disk, 'work']);
    expect(run.status, run.stderr).toBe(0);
  });
});
