import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openQubesdSystem } from '../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import { AgentStorage } from '../../dom0-agent/transport/agent-storage.ts';
import { qrexec } from '../../dom0-agent/transport/qrexec.ts';
import { makeQrexecClient } from '../qubesd/programs.ts';
import { makeScene } from '../qubesd/scene.ts';
import { buildDebs, version } from './build-packages.ts';
import { Root } from './root.ts';

const never = new AbortController().signal;

let scratch: string;
let deb: string;
let vmPrune: string;

beforeAll(async () => {
  scratch = mkdtempSync(path.join(tmpdir(), 'coffer-deb-'));
  ({ vm: deb, vmPrune } = await buildDebs(path.join(scratch, 'first')));
});
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

describe('the Debian packages', () => {
  it('pass lintian', () => {
    const strictly = ['--fail-on', 'error,warning', '--allow-root'];
    expect(execFileSync('lintian', [...strictly, deb, vmPrune], { encoding: 'utf8' })).toBe('');
  });

  it('have the same bytes if they are built again', async () => {
    const again = await buildDebs(path.join(scratch, 'second'));
    expect(readFileSync(again.vm).equals(readFileSync(deb))).toBe(true);
    expect(readFileSync(again.vmPrune).equals(readFileSync(vmPrune))).toBe(true);
  });

  it('require the Node.js of Debian', () => {
    const depends = execFileSync('dpkg-deb', ['--field', deb, 'Depends'], { encoding: 'utf8' });
    expect(depends).toBe('nodejs (>= 18)\n');
  });

  it('include one of their own for the services that change or delete backups', () => {
    using root = new Root();
    root.dpkg('--install', deb);
    const before = root.list();
    root.dpkg('--install', vmPrune);
    const services = ['Delete', 'Assemble'];
    const doc = '/usr/share/doc/qubes-coffer-vm-prune';
    const added = root.list().filter((line) => !before.includes(line) && line.startsWith('-'));
    expect(added.sort()).toEqual(
      [
        ...services.map((name) => `-rwxr-xr-x root root /etc/qubes-rpc/coffer.${name}`),
        ...services.map((name) => `-rw-r--r-- root root /etc/qubes/rpc-config/coffer.${name}`),
        ...['changelog.gz', 'copyright'].map((file) => `-rw-r--r-- root root ${doc}/${file}`),
      ].sort(),
    );
    const depends = execFileSync('dpkg-deb', ['--field', vmPrune, 'Depends'], { encoding: 'utf8' });
    expect(depends).toBe(`qubes-coffer-vm (= ${version})\n`);
  });

  it('install every file in its place, and leave nothing after a purge', () => {
    using root = new Root();
    root.dpkg('--install', deb);
    const services = ['Store', 'Fetch', 'Browse'];
    const doc = '/usr/share/doc/qubes-coffer-vm';
    const documents = ['bundled-npm-packages.txt', 'changelog.gz', 'copyright'];
    const files = root.list().filter((line) => line.startsWith('-'));
    expect(files.sort()).toEqual(
      [
        ...services.map((name) => `-rwxr-xr-x root root /etc/qubes-rpc/coffer.${name}`),
        ...services.map((name) => `-rw-r--r-- root root /etc/qubes/rpc-config/coffer.${name}`),
        '-rwxr-xr-x root root /usr/bin/coffer-vm-agent',
        '-rw-r--r-- root root /usr/share/coffer/coffer-vm-agent',
        '-rwxr-xr-x root root /usr/share/coffer/through/coffer-rclone',
        '-rwxr-xr-x root root /usr/share/coffer/through/coffer-ssh',
        '-rwxr-xr-x root root /usr/share/coffer/vm-service',
        ...documents.map((file) => `-rw-r--r-- root root ${doc}/${file}`),
        '-rw-r--r-- root root /usr/share/man/man1/coffer-vm-agent.1.gz',
      ].sort(),
    );
    root.dpkg('--purge', 'qubes-coffer-vm');
    expect(root.list()).toEqual([]);
  });

  it("keep the user's changes to a service if they are removed", () => {
    using root = new Root();
    root.dpkg('--install', deb);
    const service = path.join(root.path, 'etc/qubes-rpc/coffer.Store');
    writeFileSync(service, '#!/bin/sh\nexit 1\n', { flag: 'a' });
    root.dpkg('--remove', 'qubes-coffer-vm');
    expect(readFileSync(service, 'utf8')).toMatch(/exit 1\n$/);
    expect(root.list().join('\n')).not.toContain('/usr/share/coffer');
  });

  it('store, read, list, assemble and delete through their qrexec services', async () => {
    await using scene = await makeScene();
    using root = new Root();
    root.populate();
    root.dpkg('--install', deb, vmPrune);
    mkdirSync(path.join(root.path, 'home/user/backups'));
    const services = path.join(scene.directory, 'services');
    mkdirSync(services);
    for (const verb of ['Store', 'Fetch', 'Browse', 'Delete', 'Assemble']) {
      const name = `coffer.${verb}`;
      const words = ['env', 'HOME=/home/user', `/etc/qubes-rpc/${name}`];
      const quoted = root.inside(words).map((word) => `'${word.replaceAll("'", "'\\''")}'`);
      const script = `#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin exec ${quoted.join(' ')}\n`;
      writeFileSync(path.join(services, name), script, { mode: 0o755 });
    }
    const { socketPath } = scene.qubesd;
    const program = makeQrexecClient(scene.directory, {
      socketPath,
      services: { 'sys-net': services },
      homes: { 'sys-net': scene.directory },
    });
    const system = openQubesdSystem({ socketPath });
    const connect = qrexec('sys-net', {
      program,
      isRunning: (name) => system.isRunning(name),
      start: (name) => system.start(name),
    });
    const storage = new AgentStorage('sys-net', connect);

    const content = Buffer.alloc(3_000_000, 'ciphertext ');
    const target = { directory: 'backups', fileName: 'one' };
    await using sink = await storage.openSink(target, content.length, never);
    await sink.write(content);
    expect(await sink.finish()).toMatchObject({ path: '/home/user/backups/one' });

    await using source = await storage.openSource({ file: 'backups/one' }, never);
    const pieces: Buffer[] = [];
    for await (const piece of source.read()) pieces.push(piece);
    expect(Buffer.concat(pieces).equals(content)).toBe(true);

    const { entries } = await storage.browse('backups', never);
    expect(entries).toMatchObject([{ untrustedName: 'one', kind: 'FILE', size: content.length }]);

    const pack = { directory: 'backups', fileName: 'two' };
    await using assembly = await storage.openAssembly(pack, undefined, never);
    await assembly.write(Buffer.from('backup-header'.padEnd(512, '\0') + 'format=coffer-1\n'));
    await assembly.copy('one', 11, 22);
    expect(await assembly.finish()).toMatchObject({ bytes: 550 });
    const deletions = await storage.deleteBackups('backups', ['one', 'two'], never);
    expect(deletions).toMatchObject([{ result: 'NOT_A_BACKUP' }, { result: 'DELETED' }]);
  });
});
