import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { openQubesdSystem } from '../../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import { FailedError, RefusedError } from '../../../shared/errors.ts';
import { RECORDED, makeScene, type Scene } from '../../qubesd/scene.ts';

const systemOf = (scene: Scene) => openQubesdSystem({ socketPath: scene.qubesd.socketPath });

describe('reading the system', () => {
  it('gives every VM with its settings, dom0 first', async () => {
    await using scene = await makeScene();
    const qubes = await systemOf(scene).qubes();
    expect(qubes.map(({ name }) => name)).toEqual([
      'dom0',
      'default-dvm',
      'dev-box',
      'fedora-42-xfce',
      'sys-firewall',
      'sys-net',
      'work',
    ]);
    const work = qubes.find(({ name }) => name === 'work');
    expect(work).toMatchObject({ qubeClass: 'AppVM', qid: 5, label: 'blue', devices: [] });
    expect(work?.uuid).toBe('38d0e9d8-8b8d-4246-b0eb-79d56a9ba836');
    expect(Object.fromEntries(work?.properties ?? [])).toEqual({
      default_dispvm: 'default-dvm',
      maxmem: '3000',
      memory: '600',
      template: 'fedora-42-xfce',
    });
    expect(Object.fromEntries(work?.features ?? [])).toEqual({
      'service.cups': '1',
      'menu-items': 'firefox.desktop xterm.desktop',
      'empty-feature': '',
    });
    expect([...(work?.tags ?? [])]).toEqual(['audiovm-dom0', 'guivm-dom0', 'project-x']);
    expect(work?.volumes.filter(({ saveOnStop }) => saveOnStop)).toEqual([
      {
        name: 'private',
        size: 2_147_483_648,
        usage: 0,
        pool: 'varlibqubes',
        vid: 'appvms/work/private',
        saveOnStop: true,
        revisionsToKeep: 1,
        ephemeral: false,
      },
    ]);
    // Set to none, which is different from not set.
    const sysNet = qubes.find(({ name }) => name === 'sys-net');
    expect(sysNet?.properties.get('netvm')).toBe('');
  });

  it('leaves out RemoteVMs, and a VM that is removed meanwhile', async () => {
    await using scene = await makeScene();
    const { store } = scene.qubesd;
    const work = store.qubes.get('work');
    if (work) store.qubes.set('far', { ...work, name: 'far', klass: 'RemoteVM' });
    scene.qubesd.fault = ({ method, dest }) => {
      if (method === 'admin.vm.feature.Get' && dest === 'work') store.qubes.delete('work');
      return undefined;
    };
    const names = (await systemOf(scene).qubes()).map(({ name }) => name);
    expect(names).not.toContain('far');
    expect(names).not.toContain('work');
    expect(names).toContain('dev-box');
  });

  it('gives labels, defaults, firewalls, notes and which VMs are running', async () => {
    await using scene = await makeScene();
    const system = systemOf(scene);
    expect(await system.labels()).toContain('purple');
    expect(await system.defaults()).toEqual({
      template: 'fedora-42-xfce',
      netvm: 'sys-firewall',
      dispvm: 'default-dvm',
    });
    expect((await system.firewall('work'))?.map((rule) => rule.get('action'))).toEqual([
      'accept',
      'accept',
      'drop',
    ]);
    expect(await system.firewall('dev-box')).toBeUndefined();
    expect(await system.notes('work')).toBe('quarterly reports\nlive here\n');
    expect(await system.isRunning('work')).toBe(false);
    expect(await system.isRunning('dom0')).toBe(true);
    await system.start('work');
    await system.start('work');
    expect(await system.isRunning('work')).toBe(true);
    await expect(system.isRunning('nosuch')).rejects.toThrow(/nosuch/);
  });

  it('fails if a part of it cannot be read', async () => {
    await using scene = await makeScene();
    const system = systemOf(scene);
    scene.qubesd.fault = ({ method }) =>
      method === 'admin.vm.tag.List' ? { kind: 'cut', after: 20 } : undefined;
    await expect(system.qubes()).rejects.toThrow(/closed the connection in the middle/);
    scene.qubesd.fault = ({ method, dest }) =>
      method === 'admin.vm.feature.List' && dest === 'work' ? { kind: 'nothing' } : undefined;
    await expect(system.qubes()).rejects.toThrow(/admin.vm.feature.List for work/);
  });

  it('reads 300 VMs within 40 s', async () => {
    const one = readFileSync(join(RECORDED, 'qubes-r4.xml'), 'utf8');
    const [work = ''] = /<domain id="domain-5"[\s\S]*?<\/domain>/.exec(one) ?? [];
    const copies = Array.from({ length: 300 }, (_, i) =>
      work.replaceAll('work', `copy${i}`).replaceAll('domain-5', `domain-${i + 100}`),
    );
    await using scene = await makeScene({ xml: one.replace(work, copies.join('')) });
    const begin = performance.now();
    const qubes = await systemOf(scene).qubes();
    expect(qubes).toHaveLength(306);
    expect(performance.now() - begin).toBeLessThan(40_000);
  });
});

describe('changing the system', () => {
  it('copies the settings of a VM to a new one, and removes that', async () => {
    await using scene = await makeScene();
    const system = systemOf(scene);
    const work = (await system.qubes()).find(({ name }) => name === 'work');
    await system.assignDevice('work', {
      deviceClass: 'pci',
      backend: 'dom0',
      port: '00_14.0',
      fields: new Map([
        ['device_id', '*'],
        ['mode', 'required'],
        ['_no-strict-reset', 'True'],
      ]),
    });
    const before = (await system.qubes()).find(({ name }) => name === 'work');
    expect(before?.devices).toHaveLength(1);

    await system.create({
      name: 'copy',
      qubeClass: 'AppVM',
      label: work?.label ?? '',
      template: 'fedora-42-xfce',
      pool: 'varlibqubes',
    });
    for (const [name, value] of before?.properties ?? []) {
      await system.setProperty('copy', name, value);
    }
    for (const [name, value] of before?.features ?? []) {
      await system.setFeature('copy', name, value);
    }
    for (const tag of before?.tags ?? []) await system.setTag('copy', tag);
    for (const device of before?.devices ?? []) await system.assignDevice('copy', device);
    await system.setFirewall('copy', (await system.firewall('work')) ?? []);
    await system.setNotes('copy', await system.notes('work'));
    await system.setNotes('copy', '');

    const copy = (await system.qubes()).find(({ name }) => name === 'copy');
    expect({ ...copy, volumes: [] }).toEqual({
      ...before,
      name: 'copy',
      qid: 7,
      uuid: scene.qubesd.store.qubes.get('copy')?.uuid,
      tags: new Set(['audiovm-dom0', 'created-by-dom0', 'guivm-dom0', 'project-x']),
      volumes: [],
    });
    expect(await system.firewall('copy')).toEqual(await system.firewall('work'));
    expect(await system.notes('copy')).toBe(await system.notes('work'));

    expect(await system.setBackupTimestamps(['copy'], 1_700_000_000.7)).toEqual(new Map());
    const { store } = scene.qubesd;
    expect(store.qubes.get('copy')?.properties.get('backup_timestamp')).toBe('1700000000');
    await system.remove('copy');
    expect(store.qubes.has('copy')).toBe(false);
  });

  it.each([
    ['TemplateVM', undefined],
    ['StandaloneVM', undefined],
    ['DispVM', 'default-dvm'],
  ] as const)('creates a %s', async (qubeClass, template) => {
    await using scene = await makeScene();
    const system = systemOf(scene);
    await system.create({ name: 'new', qubeClass, label: 'red', template, pool: undefined });
    expect((await system.qubes()).find(({ name }) => name === 'new')?.qubeClass).toBe(qubeClass);
  });

  it('creates a disposable without settings of its template', async () => {
    await using scene = await makeScene();
    const { store } = scene.qubesd;
    const dvm = store.qubes.get('default-dvm');
    dvm?.properties.set('netvm', '').set('memory', '555');
    dvm?.features.set('service.cups', '1');
    dvm?.tags.add('of-the-dvm');
    if (dvm) dvm.firewall = 'action=drop\n';
    const system = systemOf(scene);
    const names = { name: 'new', label: 'red', template: 'default-dvm' };
    const features = new Map([['mine', '1']]);
    await system.create({ ...names, qubeClass: 'DispVM', pool: undefined, features });
    const made = (await system.qubes()).find(({ name }) => name === 'new');
    expect(Object.fromEntries(made?.properties ?? [])).toEqual({ template: 'default-dvm' });
    expect(made?.label).toBe('red');
    expect(made?.features).toEqual(features);
    expect(made?.tags).toEqual(new Set(['audiovm-dom0', 'created-by-dom0', 'guivm-dom0']));
    expect(await system.firewall('new')).toBeUndefined();
  });

  it('refuses invalid names and settings', async () => {
    await using scene = await makeScene();
    const system = systemOf(scene);
    const qube = {
      name: 'new',
      qubeClass: 'StandaloneVM',
      label: 'red',
      template: undefined,
      pool: undefined,
    } as const;
    const before = scene.qubesd.calls.length;
    for (const wrong of [{ name: 'a b' }, { name: '1st' }, { label: 'red pool=x' }, { pool: '' }]) {
      await expect(system.create({ ...qube, ...wrong })).rejects.toThrow(RefusedError);
    }
    expect(scene.qubesd.calls.length).toBe(before);
    await expect(system.create({ ...qube, name: 'work' })).rejects.toThrow(RefusedError);
    await expect(system.create({ ...qube, name: 'work' })).rejects.toThrow(/work already exists/);
    await expect(system.create({ ...qube, pool: 'full' })).rejects.toThrow(/storage pool full/);
  });

  it('names the VM and the setting that is refused', async () => {
    await using scene = await makeScene();
    const refused = systemOf(scene).setProperty('work', 'memory', 'much');
    await expect(refused).rejects.toThrow(FailedError);
    await expect(refused).rejects.toThrow(/memory for work: Failed to parse property value as int/);
  });
});

it('the block devices of running VMs are listed, with the VMs that they are attached to', async () => {
  const offer =
    "sda:b device_id='b' port_id='sda' devclass='block' name='Stick\x1b[2J' _size='64'\n";
  await using scene = await makeScene({ machine: { blockDevices: new Map([['sys-net', offer]]) } });
  const system = systemOf(scene);
  expect(await system.offeredDevices()).toEqual([]);
  await system.start('sys-net');
  const stick = { backend: 'sys-net', port: 'sda', description: 'Stick?[2J', size: 64 };
  expect(await system.offeredDevices()).toEqual([stick]);
  await system.start('work');
  const now = "sys-net+sda:b device_id='b' port_id='sda' devclass='block' mode='manual'\n";
  scene.qubesd.machine.attachedDevices.set('work', now);
  expect(await system.offeredDevices()).toEqual([{ ...stick, attachedTo: 'work' }]);
});

it('the kernels of dom0 are listed, or unknown if qubesd refuses', async () => {
  await using scene = await makeScene();
  expect(await systemOf(scene).kernels()).toBeUndefined();
  scene.qubesd.machine.kernels = ['6.6.48-1', 'misc'];
  expect(await systemOf(scene).kernels()).toEqual(['6.6.48-1', 'misc']);
});
