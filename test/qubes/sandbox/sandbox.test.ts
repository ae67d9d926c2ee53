import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';

import { FailedError, RefusedError } from '../../../shared/errors.ts';
import {
  type FolderSystem,
  openFolderSystem,
} from '../../../dom0-agent/qubes/folder/folder-system.ts';
import { type Qube, savedVolumes } from '../../../dom0-agent/qubes/qube.ts';
import { makeSandbox } from '../../../dom0-agent/qubes/sandbox/make-sandbox.ts';
import { sampleData } from '../../../dom0-agent/qubes/sandbox/sample-tree.ts';
import { SAMPLE_VOLUMES } from '../../../dom0-agent/qubes/sandbox/sample-files.ts';

const never = new AbortController().signal;
const none = (): void => undefined;
const run = promisify(execFile);
const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };

let parent: string;
let box: string;
let system: FolderSystem;
let qubes: Qube[];
const steps: string[] = [];

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), 'coffer-sandbox-'));
  box = join(parent, 'box');
  await makeSandbox(box, { empty: false }, never, (text) => steps.push(text));
  system = await openFolderSystem(box);
  qubes = await system.qubes();
});
afterAll(() => rm(parent, { recursive: true }));
afterEach(() => {
  vi.unstubAllEnvs();
});

const qubeCalled = (name: string): Qube =>
  qubes.find((qube) => qube.name === name) ?? expect.fail(`there is no ${name}`);
const images = (): [string, string][] =>
  qubes.flatMap((qube) =>
    savedVolumes(qube).map((volume): [string, string] => [
      `${qube.name}/${volume.name}`,
      join(box, `${volume.vid}.img`),
    ]),
  );

describe('a sandbox', () => {
  it('has VMs of every class', () => {
    expect(qubes.map(({ name, qubeClass }) => [name, qubeClass])).toEqual([
      ['dom0', 'AdminVM'],
      ['debian-13', 'TemplateVM'],
      ['sys-usb', 'AppVM'],
      ['work', 'AppVM'],
      ['vault', 'AppVM'],
      ['dev-box', 'StandaloneVM'],
    ]);
    expect(steps).toHaveLength(6);
  });

  it('has settings that differ from VM to VM', async () => {
    const [work, vault, devBox] = ['work', 'vault', 'dev-box'].map(qubeCalled);
    expect(work?.features.get('empty-feature')).toBe('');
    expect(vault?.properties.get('netvm')).toBe('');
    expect(devBox?.devices).toHaveLength(1);
    expect(new Set([work?.label, vault?.label, devBox?.label]).size).toBe(3);
    const firewalls = ['work', 'vault', 'dev-box'].map((name) => system.firewall(name));
    expect((await Promise.all(firewalls)).map((rules) => rules?.length)).toEqual([3, 1, 4]);
    expect(await system.notes('work')).toMatch(/Zoë/);
    expect(await system.notes('vault')).toBe('');
  });

  it('has settings that can be restored into it', async () => {
    for (const { name, properties, features, tags } of qubes.slice(1)) {
      for (const [property, value] of properties) await system.setProperty(name, property, value);
      for (const [feature, value] of features) await system.setFeature(name, feature, value);
      for (const tag of tags) await system.setTag(name, tag);
      const rules = await system.firewall(name);
      if (rules !== undefined) await system.setFirewall(name, rules);
    }
    expect(await system.qubes()).toEqual(qubes);
  });

  it('has sparse volumes with at least 200 MB of data', () => {
    const volumes = qubes.flatMap(savedVolumes);
    const data = volumes.reduce((sum, { usage = 0 }) => sum + usage, 0);
    const apparent = volumes.reduce((sum, { size }) => sum + size, 0);
    expect(data).toBeGreaterThan(200e6);
    expect(data).toBeLessThan(400e6);
    expect(apparent).toBeGreaterThan(10 * data);
  });

  it('has valid ext4 file systems with files', async () => {
    for (const [volume, image] of images()) {
      await run('e2fsck', ['-f', '-n', image], { env });
      const entries = SAMPLE_VOLUMES.get(volume) ?? expect.fail(`no samples for ${volume}`);
      const file = entries.find((entry) => 'kind' in entry || 'text' in entry) ?? expect.fail();
      const { stdout } = await run('debugfs', ['-R', `cat "/${file.path}"`, image], {
        env,
        encoding: 'buffer',
        maxBuffer: 64 * 1024 * 1024,
      });
      if ('text' in file) expect(stdout.toString()).toBe(file.text);
      if ('kind' in file) {
        expect(stdout.equals(sampleData(file.kind, file.bytes, file.path))).toBe(true);
      }
    }
  });

  it('has a dom0 with odd names, a link, an executable and an empty directory', async () => {
    const { user, path } = await system.dom0Home();
    expect(user).toBe('user');
    expect(await readlink(join(path, 'to nowhere'))).toBe('/no/such/place');
    expect((await stat(join(path, 'bin/tidy-up'))).mode & 0o111).toBe(0o111);
    expect(await readdir(join(path, 'empty directory'))).toEqual([]);
    expect(await readFile(join(path, 'two\nlines'), 'utf8')).toBe('A name of two lines.\n');
  });

  it('has a running storage VM, with a directory for backups', async () => {
    expect(await system.isRunning('sys-usb')).toBe(true);
    expect(await system.isRunning('work')).toBe(false);
    expect(await readdir(join(system.homeOf('sys-usb'), 'backups'))).toEqual([]);
  });

  it('consists of nothing else', async () => {
    const made = ['appvms', 'dom0-home', 'homes', 'qubes.xml', 'running', 'vm-templates'];
    expect((await readdir(box)).sort()).toEqual(made);
  });

  it('made with --empty has only dom0, the template and the storage VM', async () => {
    const empty = join(parent, 'empty');
    await mkdir(empty);
    await makeSandbox(empty, { empty: true }, never, none);
    const other = await openFolderSystem(empty);
    const names = (await other.qubes()).map(({ name }) => name);
    expect(names).toEqual(['dom0', 'debian-13', 'sys-usb']);
    expect(await other.isRunning('sys-usb')).toBe(true);
    expect(await readdir((await other.dom0Home()).path)).toEqual(['.bashrc']);
  });
});

describe('making a sandbox', () => {
  it('is refused if the directory is not empty', async () => {
    const used = join(parent, 'used');
    await mkdir(used);
    await writeFile(join(used, 'letter'), 'mine');
    const options = { empty: true };
    await expect(makeSandbox(used, options, never, none)).rejects.toThrow(RefusedError);
    await expect(makeSandbox(join(used, 'letter'), options, never, none)).rejects.toThrow(
      RefusedError,
    );
    expect(await readdir(used)).toEqual(['letter']);
  });

  it('leaves nothing behind if it is interrupted', async () => {
    const old = join(parent, 'old');
    await mkdir(old);
    for (const directory of [join(parent, 'new'), old]) {
      const controller = new AbortController();
      const stop = (text: string): void => {
        if (text.includes('debian')) controller.abort();
      };
      await expect(
        makeSandbox(directory, { empty: true }, controller.signal, stop),
      ).rejects.toMatchObject({ name: 'AbortError' });
    }
    expect(await readdir(parent)).not.toContain('new');
    expect(await readdir(old)).toEqual([]);
  });

  it('leaves nothing behind if an image cannot be made', async () => {
    const tools = join(parent, 'tools');
    await mkdir(tools);
    await writeFile(join(tools, 'mke2fs'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    vi.stubEnv('PATH', `${tools}:${process.env['PATH'] ?? ''}`);
    const making = makeSandbox(join(parent, 'failed'), { empty: true }, never, none);
    await expect(making).rejects.toThrow(FailedError);
    await expect(making).rejects.toThrow(/mke2fs cannot make the sample volume/);
    expect(await readdir(parent)).not.toContain('failed');
  });
});

describe('sample data', () => {
  it('is the same every time', () => {
    const digest = (kind: Parameters<typeof sampleData>[0]): string =>
      createHash('sha256')
        .update(sampleData(kind, 100_000, 'seed'))
        .digest('hex')
        .slice(0, 16);
    expect((['prose', 'records', 'program', 'noise'] as const).map(digest)).toMatchInlineSnapshot(`
      [
        "b67051a8e71eb3cc",
        "2b109873afe6f01c",
        "53e3723c48aea6b0",
        "5c0db964eecf8e2a",
      ]
    `);
    expect(sampleData('prose', 10, 'a').equals(sampleData('prose', 10, 'b'))).toBe(false);
    for (const kind of ['prose', 'records', 'program', 'noise'] as const) {
      for (const length of [0, 1, 4097]) expect(sampleData(kind, length, 'x')).toHaveLength(length);
    }
  });
});
