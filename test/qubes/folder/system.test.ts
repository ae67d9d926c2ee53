import { mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

import { FailedError, RefusedError } from '../../../shared/errors.ts';
import { GiB } from '../../../shared/sizes.ts';
import { openFolderSystem } from '../../../dom0-agent/qubes/folder/folder-system.ts';
import type { Qube } from '../../../dom0-agent/qubes/qube.ts';
import type { QubesSystem } from '../../../dom0-agent/qubes/system.ts';
import { markRunning, smallSystem } from './small-system.ts';
import { openAtOnce } from '../open-at-once.ts';

const NEW = { label: 'blue', pool: undefined, template: undefined } as const;

const find = async (system: QubesSystem, name: string): Promise<Qube> =>
  (await system.qubes()).find((qube) => qube.name === name) ?? expect.fail(`no ${name}`);

describe('a folder system', () => {
  it('is refused if the directory is not one, or is invalid', async () => {
    const { directory } = await smallSystem();
    await expect(openFolderSystem(join(directory, 'nowhere'))).rejects.toThrow(
      /coffer sandbox DIR/,
    );
    await expect(openFolderSystem(join(directory, 'appvms'))).rejects.toThrow(RefusedError);
    await writeFile(join(directory, 'qubes.xml'), '<qubes>');
    await expect(openFolderSystem(directory)).rejects.toThrow(FailedError);
    await writeFile(join(directory, 'qubes.xml'), '<qubes/>');
    await expect(openFolderSystem(directory)).rejects.toThrow(/has no dom0/);
  });

  it('gives the VMs, labels, defaults, homes and which VMs are running', async () => {
    const { directory, system } = await smallSystem();
    expect((await system.qubes()).map(({ name, qid }) => [name, qid])).toEqual([
      ['dom0', 0],
      ['debian', 1],
      ['work', 2],
    ]);
    expect(await system.labels()).toContain('purple');
    expect(await system.defaults()).toEqual({
      template: 'debian-13',
      netvm: 'sys-usb',
      dispvm: undefined,
    });
    expect(await system.dom0Home()).toEqual({
      user: 'user',
      path: join(directory, 'dom0-home/user'),
    });
    expect(system.homeOf('work')).toBe(join(directory, 'homes/work'));
    expect(await system.isRunning('work')).toBe(false);
    await markRunning(directory, 'work');
    expect(await system.isRunning('work')).toBe(true);
    await expect(system.isRunning('nobody')).rejects.toThrow(RefusedError);
    await mkdir(join(directory, 'dom0-home/other'));
    await expect(system.dom0Home()).rejects.toThrow(FailedError);
  });
});

describe('creating a VM', () => {
  it.each([
    ['AppVM', 'appvms', ['private.img']],
    ['StandaloneVM', 'appvms', ['private.img', 'root.img']],
    ['TemplateVM', 'vm-templates', ['private.img', 'root.img']],
  ] as const)('of the class %s makes its own images', async (qubeClass, pool, images) => {
    const { directory, system } = await smallSystem();
    const template = qubeClass === 'AppVM' ? 'debian' : undefined;
    await system.create({ ...NEW, name: 'fresh', qubeClass, template });
    expect(await readdir(join(directory, pool, 'fresh'))).toEqual(images);
    const image = await stat(join(directory, pool, 'fresh/private.img'));
    expect([image.size, image.blocks]).toEqual([2 * GiB, 0]);
    const { volumes, properties } = await find(system, 'fresh');
    const own = volumes.filter(({ saveOnStop }) => saveOnStop);
    expect(own.map(({ name }) => `${name}.img`).sort()).toEqual(images);
    expect(own.every(({ usage }) => usage === 0)).toBe(true);
    expect(volumes.map(({ name }) => name)).toEqual(['root', 'private', 'volatile', 'kernel']);
    expect(properties.get('template')).toBe(template);
  });

  it('of the class DispVM makes no images, and needs a template for disposables', async () => {
    const { directory, system } = await smallSystem();
    const disposable = { ...NEW, name: 'disp', qubeClass: 'DispVM', template: 'work' } as const;
    await expect(system.create(disposable)).rejects.toThrow(/template "work"/);
    await system.setProperty('work', 'template_for_dispvms', 'True');
    await system.create(disposable);
    expect(await readdir(join(directory, 'appvms/disp'))).toEqual([]);
    expect((await find(system, 'disp')).volumes.some((volume) => volume.saveOnStop)).toBe(false);
  });

  it.each([
    ['a name that is taken', { name: 'work' }, /already a VM called work/],
    ['the name of dom0', { name: 'dom0' }, /already/],
    ['a path as its name', { name: '../x' }, /cannot be called/],
    ['an unknown label', { label: 'mauve' }, /no label "mauve"/],
    ['an unknown pool', { pool: 'ssd' }, /no storage pool called ssd/],
    ['an unknown template', { template: 'fedora' }, /template "fedora"/],
    ['a template that is not a TemplateVM', { template: 'work' }, /template "work"/],
    ['no template', { template: undefined }, /template ""/],
  ])('is refused with %s', async (_, wrong, message) => {
    const { directory, system } = await smallSystem();
    const before = await readdir(directory, { recursive: true });
    const wanted = { ...NEW, name: 'x', qubeClass: 'AppVM', template: 'debian', ...wrong } as const;
    const creation = system.create(wanted);
    await expect(creation).rejects.toThrow(RefusedError);
    await expect(creation).rejects.toThrow(message);
    expect(await readdir(directory, { recursive: true })).toEqual(before);
  });

  it('is refused if a directory of an earlier VM is in the way, and changes nothing in it', async () => {
    const { directory, system } = await smallSystem();
    await mkdir(join(directory, 'appvms/old'));
    await writeFile(join(directory, 'appvms/old/private.img'), 'precious');
    const wanted = { ...NEW, name: 'old', qubeClass: 'StandaloneVM' } as const;
    await expect(system.create(wanted)).rejects.toThrow(/left from an earlier VM/);
    expect(await readFile(join(directory, 'appvms/old/private.img'), 'utf8')).toBe('precious');
    expect(await system.qubes()).toHaveLength(3);
  });

  it('is refused if a file is in the way, and changes nothing', async () => {
    const { directory, system } = await smallSystem();
    const before = await readFile(join(directory, 'qubes.xml'), 'utf8');
    await writeFile(join(directory, 'appvms/x'), 'in the way');
    const wanted = { ...NEW, name: 'x', qubeClass: 'StandaloneVM' } as const;
    await expect(system.create(wanted)).rejects.toThrow(RefusedError);
    expect(await readFile(join(directory, 'qubes.xml'), 'utf8')).toBe(before);
    expect(await readFile(join(directory, 'appvms/x'), 'utf8')).toBe('in the way');
  });
});

describe('removing a VM', () => {
  it('removes its images and its entry', async () => {
    const { directory, system } = await smallSystem();
    await system.remove('work');
    expect((await system.qubes()).map(({ name }) => name)).toEqual(['dom0', 'debian']);
    expect(await readdir(join(directory, 'appvms'))).toEqual([]);
    await system.create({ ...NEW, name: 'work', qubeClass: 'AppVM', template: 'debian' });
  });

  it('is refused for dom0, a running VM, one that others refer to, and an unknown one', async () => {
    const { directory, system } = await smallSystem();
    await markRunning(directory, 'work');
    for (const name of ['dom0', 'work', 'debian', 'nobody', '../..']) {
      await expect(system.remove(name)).rejects.toThrow(RefusedError);
    }
    expect(await readdir(join(directory, 'appvms/work'))).toEqual(['private.img']);
  });
});

describe('the settings of a VM', () => {
  it('are kept when the system is opened again', async () => {
    const { directory, system } = await smallSystem();
    await system.setProperty('work', 'memory', '600');
    await system.setProperty('work', 'netvm', '');
    await system.setProperty('work', 'label', 'green');
    await system.setFeature('work', 'service.cups', '1');
    await system.setFeature('work', 'empty', '');
    await system.setTag('work', 'project-x');
    await system.setBackupTimestamps(['work'], 1_700_000_000);
    const device = {
      deviceClass: 'pci',
      backend: 'dom0',
      port: '00_14.0',
      fields: new Map([
        ['device_id', '*'],
        ['mode', 'required'],
        ['_no-strict-reset', 'True'],
      ]),
    };
    await system.assignDevice('work', device);
    await expect(system.assignDevice('work', device)).rejects.toThrow(RefusedError);
    const rules = [new Map([['action', 'drop']])];
    expect(await system.firewall('work')).toBeUndefined();
    await system.setFirewall('work', rules);
    expect(await system.notes('work')).toBe('');
    await system.setNotes('work', 'two\nlines – é\n');

    const again = await openFolderSystem(directory);
    const work = await find(again, 'work');
    expect(work.label).toBe('green');
    expect(Object.fromEntries(work.properties)).toEqual({
      template: 'debian',
      memory: '600',
      netvm: '',
      backup_timestamp: '1700000000',
    });
    expect(Object.fromEntries(work.features)).toEqual({ 'service.cups': '1', empty: '' });
    expect(work.tags).toEqual(new Set(['project-x']));
    expect(work.devices).toEqual([device]);
    expect(await again.firewall('work')).toEqual(rules);
    expect(await again.notes('work')).toBe('two\nlines – é\n');
  });

  it.each([
    ['qid', '9'],
    ['name', 'other'],
    ['colour', 'red'],
    ['label', 'mauve'],
    ['memory', 'much'],
    ['autostart', 'yes'],
    ['netvm', 'nobody'],
    ['netvm', 'debian'],
    ['default_dispvm', 'debian'],
    ['template', 'work'],
    ['template', ''],
  ])('are refused if Qubes would refuse them: %s=%s', async (property, value) => {
    const { directory, system } = await smallSystem();
    const before = await readFile(join(directory, 'qubes.xml'), 'utf8');
    await expect(system.setProperty('work', property, value)).rejects.toThrow(RefusedError);
    expect(await readFile(join(directory, 'qubes.xml'), 'utf8')).toBe(before);
  });

  it('are refused if Qubes would refuse them: tags, features, rules and devices', async () => {
    const { system } = await smallSystem();
    await expect(system.setTag('work', 'created-by-dom0')).rejects.toThrow(RefusedError);
    await expect(system.setTag('work', 'a b')).rejects.toThrow(RefusedError);
    await expect(system.setFeature('work', 'a b', '')).rejects.toThrow(RefusedError);
    await expect(system.setFeature('work', 'a', '\u0000')).rejects.toThrow(FailedError);
    const rules = [new Map([['action', 'explode']])];
    await expect(system.setFirewall('work', rules)).rejects.toThrow(FailedError);
    const device = { deviceClass: 'usb', backend: 'nobody', port: '1', fields: new Map() };
    await expect(system.assignDevice('work', device)).rejects.toThrow(RefusedError);
  });
});

describe('opening a volume', () => {
  it('that is missing or shrinks fails with an error that names it', async () => {
    const { directory, system } = await smallSystem();
    const qube = await find(system, 'work');
    const volume = qube.volumes.find(({ name }) => name === 'private') ?? expect.fail();
    const image = join(directory, 'appvms/work/private.img');
    await writeFile(image, 'all of it');
    {
      await using opened = await openAtOnce(system.holdVolume(qube, volume));
      expect(opened).toMatchObject({ size: 9, extents: [{ offset: 0, length: 9 }] });
      const content = Buffer.alloc(9);
      await opened.read(content, 0);
      expect(content.toString()).toBe('all of it');
      await truncate(image, 5);
      const reading = opened.read(content, 0);
      await expect(reading).rejects.toThrow(FailedError);
      await expect(reading).rejects.toThrow(/private of work/);
    }
    await rm(image);
    await expect(openAtOnce(system.holdVolume(qube, volume))).rejects.toThrow(/private of work/);
    const astray = { ...volume, vid: '../../etc/passwd' };
    await expect(openAtOnce(system.holdVolume(qube, astray))).rejects.toThrow(/not a path/);
  });

  it('without a saved state is refused while its VM is running, and fails if the VM is started meanwhile', async () => {
    const { system, directory } = await smallSystem();
    const work = await find(system, 'work');
    const found = work.volumes.find(({ name }) => name === 'private') ?? expect.fail();
    const inPlace = { ...found, revisionsToKeep: -1 };
    const image = await openAtOnce(system.holdVolume(work, inPlace));
    const saved = await openAtOnce(system.holdVolume(work, found));
    await image.requireUnchanged();
    expect(await system.whyUnreadable(inPlace, false)).toBeUndefined();

    await markRunning(directory, 'work');
    expect(await system.list()).toContainEqual({
      ...{ name: 'work', className: 'AppVM', isRunning: true },
    });
    await expect(image.requireUnchanged()).rejects.toThrow(/work was started while/);
    await saved.requireUnchanged();
    expect(await system.whyUnreadable(inPlace, true)).toMatch(/no separate saved state/);
    expect(await system.whyUnreadable(found, true)).toBeUndefined();
    await expect(openAtOnce(system.holdVolume(work, inPlace))).rejects.toThrow(
      /shut work down first/,
    );

    await truncate(join(directory, `${found.vid}.img`), 4096);
    await expect(saved.requireUnchanged()).rejects.toThrow(/private of work was changed while/);
    for (const open of [image, saved]) await open[Symbol.asyncDispose]();
  });
});
