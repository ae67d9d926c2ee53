import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from 'vitest';

import { openAdminApi } from '../../dom0-agent/qubes/admin-api/admin-api.ts';
import { openQubesdSystem } from '../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import { Dom0, STORAGE_VM } from '../qubesd/dom0.ts';
import { build } from './qubesd-build.ts';

beforeAll(build);

/** Properties that belong to the machine or to the last backup, and not to the VM's settings. */
const NOT_COMPARED = new Set(['name', 'qid', 'uuid', 'backup_timestamp']);

/** Everything that qubesd can tell about a VM, and the content of its volumes. */
async function everythingOf(dom0: Dom0, name: string): Promise<object> {
  const api = openAdminApi({ socketPath: dom0.qubesd.socketPath });
  const lines = async (method: string, arg = ''): Promise<string[]> =>
    (await api(name, method, arg)).split('\n').filter(Boolean);
  const properties = (await lines('admin.vm.property.GetAll'))
    .filter((line) => line.includes(' default=False '))
    .filter((line) => !NOT_COMPARED.has(line.split(' ')[0] ?? ''));
  const features: Record<string, string> = {};
  for (const feature of await lines('admin.vm.feature.List')) {
    features[feature] = await api(name, 'admin.vm.feature.Get', feature);
  }
  const volumes: Record<string, unknown> = {};
  for (const volume of await lines('admin.vm.volume.List')) {
    const info = await lines('admin.vm.volume.Info', volume);
    if (!info.includes('save_on_stop=True')) continue;
    const size = info.find((line) => line.startsWith('size='));
    volumes[volume] = { size, content: dom0.sha256(name, volume) };
  }
  return {
    properties: properties.sort(),
    features,
    volumes,
    tags: (await lines('admin.vm.tag.List')).filter((tag) => !tag.startsWith('created-by-')),
    firewall: await lines('admin.vm.firewall.Get'),
    notes: await api(name, 'admin.vm.notes.Get'),
    pci: (await lines('admin.vm.device.pci.Assigned')).sort(),
    block: (await lines('admin.vm.device.block.Assigned')).sort(),
    class: (await api(name, 'admin.vm.List')).replace(/.*class=(\S+).*\n/, '$1'),
  };
}

/** The recorded system, with nearly everything that a VM can have. */
async function oldSystem(): Promise<Dom0> {
  const dom0 = await Dom0.make();
  const { store, socketPath } = dom0.qubesd;
  store.labels.set('mauve', '0xe0b0ff');
  store.labels.set('sepia', '0x704214');
  store.kernels.add('6.12');
  const system = openQubesdSystem({ socketPath });
  const common = { label: 'mauve', pool: undefined };
  await system.create({ ...common, name: 'disp9', qubeClass: 'DispVM', template: 'default-dvm' });
  await system.create({ ...common, name: 'vault', qubeClass: 'AppVM', template: 'fedora-42-xfce' });
  await system.create({
    ...common,
    name: 'sys-vpn',
    qubeClass: 'AppVM',
    template: 'fedora-42-xfce',
  });
  dom0.volume('vault', 'private').size = 5_000_000;
  dom0.volume('sys-vpn', 'private').size = 4_096;
  for (const name of ['disp9', 'vault', 'sys-vpn']) dom0.fillVolumes(name);
  const set = {
    // qubesd then makes it a service VM.
    'sys-firewall': { provides_network: 'True' },
    vault: { netvm: '', default_dispvm: '', vcpus: '1', kernel: '6.12', kernelopts: 'quiet a="b"' },
    'sys-vpn': {
      provides_network: 'True',
      netvm: 'sys-firewall',
      autostart: 'True',
      label: 'sepia',
    },
    'dev-box': { virt_mode: 'hvm', kernel: '', memory: '1000', guivm: 'sys-vpn', netvm: 'sys-vpn' },
    disp9: { netvm: 'sys-vpn', include_in_backups: 'True' },
    'default-dvm': { default_dispvm: 'default-dvm', netvm: 'sys-vpn' },
    'fedora-42-xfce': { management_dispvm: 'default-dvm' },
  };
  for (const [name, properties] of Object.entries(set)) {
    for (const [property, value] of Object.entries(properties)) {
      await system.setProperty(name, property, value);
    }
  }
  await system.setFeature('vault', 'menu-items', 'a.desktop b.desktop');
  await system.setTag('vault', 'secret');
  await system.setFirewall('vault', [new Map([['action', 'drop']])]);
  await system.setNotes('vault', 'line one\nline <two> & three\n');
  const device = (port: string, mode: string) => ({
    deviceClass: 'pci',
    backend: 'dom0',
    port,
    fields: new Map([
      ['device_id', '*'],
      ['mode', mode],
      ['_no-strict-reset', 'True'],
    ]),
  });
  await system.assignDevice('dev-box', device('00_14.0', 'required'));
  await system.assignDevice('vault', {
    deviceClass: 'block',
    backend: 'sys-vpn',
    port: 'sda1',
    fields: new Map([
      ['device_id', '*'],
      ['mode', 'ask-to-attach'],
    ]),
  });
  return dom0;
}

/** A new system with other defaults, and the storage of the old one. */
async function newSystem(storage: string): Promise<Dom0> {
  const dom0 = await Dom0.make(storage);
  const { store, socketPath } = dom0.qubesd;
  const system = openQubesdSystem({ socketPath });
  const common = { label: 'red', pool: undefined };
  await system.create({
    ...common,
    name: 'debian-13',
    qubeClass: 'TemplateVM',
    template: undefined,
  });
  for (const name of ['other-firewall', 'other-dvm']) {
    await system.create({ ...common, name, qubeClass: 'AppVM', template: 'debian-13' });
  }
  await system.setProperty('other-firewall', 'provides_network', 'True');
  await system.setProperty('other-firewall', 'netvm', 'sys-net');
  await system.setProperty('other-dvm', 'template_for_dispvms', 'True');
  await system.setProperty('sys-net', 'template', 'debian-13');
  store.properties.set('default_netvm', 'other-firewall');
  store.properties.set('default_template', 'debian-13');
  store.properties.set('default_dispvm', 'other-dvm');
  store.properties.set('default_kernel', '7.0');
  store.kernels.clear();
  for (const kernel of ['6.12', '7.0']) store.kernels.add(kernel);
  store.pools.set('thick', new Map(store.pools.get('varlibqubes')).set('name', 'thick'));
  store.properties.set('default_pool', 'thick');
  for (const name of ['work', 'dev-box', 'sys-firewall', 'default-dvm', 'fedora-42-xfce']) {
    await system.remove(name);
  }
  store.labels.set('mauve', '0xe0b0ff');
  return dom0;
}

describe('migration to another machine', () => {
  const MOVED = [
    ...['default-dvm', 'dev-box', 'disp9', 'fedora-42-xfce'],
    ...['sys-firewall', 'sys-vpn', 'vault', 'work'],
  ];

  it('restores everything that qubesd knows about a VM', async () => {
    await using old = await oldSystem();
    writeFileSync(join(old.home, 'letter'), 'Dear reader');
    const backup = await old.backUp('dom0', ...MOVED);
    await using fresh = await newSystem(old.storage);
    const before = fresh.names();
    const restore = ['restore', '-d', STORAGE_VM, '-y', '--ignore-missing', backup];
    const run = await fresh.coffer(restore);
    expect(run, run.stderr).toMatchObject({ status: 0 });

    expect(fresh.names()).toEqual([...before, ...MOVED].sort());
    for (const name of MOVED.filter((each) => each !== 'sys-vpn')) {
      expect(await everythingOf(fresh, name), name).toEqual(await everythingOf(old, name));
    }
    const was = JSON.stringify(await everythingOf(old, 'sys-vpn'));
    // The only setting that does not exist on the new machine.
    expect(await everythingOf(fresh, 'sys-vpn')).toEqual(JSON.parse(was.replace('sepia', 'red')));
    expect(run.stdout).toMatch(/sys-vpn.*label red, since sepia does not exist here/);

    const [restored = ''] = readdirSync(fresh.home);
    expect(restored).toMatch(/^home-restore-/);
    expect(readFileSync(join(fresh.home, restored, 'letter'), 'utf8')).toBe('Dear reader');
    expect(run.stdout).toContain(
      'Update fedora-42-xfce before you start a VM that is based on it.',
    );
    // VMs that existed before are unchanged.
    expect(fresh.qubesd.store.qubes.get('sys-net')?.properties.get('template')).toBe('debian-13');
  });

  it('can rename VMs, with all references to them', async () => {
    await using old = await oldSystem();
    const backup = await old.backUp(...MOVED);
    const before = await Promise.all(MOVED.map((name) => everythingOf(old, name)));
    const restore = ['restore', '-d', STORAGE_VM, '-y', '--rename-conflicting', backup];
    const run = await old.coffer(restore);
    expect(run, run.stderr).toMatchObject({ status: 0 });
    for (const [i, name] of MOVED.entries()) {
      expect(await everythingOf(old, name), name).toEqual(before[i]);
      const renamed = JSON.stringify(await everythingOf(old, `${name}-1`));
      const back = renamed.replaceAll(new RegExp(`(${MOVED.join('|')})-1`, 'g'), '$1');
      expect(JSON.parse(back), name).toEqual(before[i]);
    }
  });

  it('can create the volumes in a chosen pool', async () => {
    await using old = await oldSystem();
    const backup = await old.backUp('fedora-42-xfce', 'vault');
    await using fresh = await newSystem(old.storage);
    const pool = join(fresh.scene.directory, 'fast');
    mkdirSync(pool);
    const settings = new Map(fresh.qubesd.store.pools.get('varlibqubes'));
    fresh.qubesd.store.pools.set('fast', settings.set('name', 'fast').set('dir_path', pool));
    const restore = ['restore', '-d', STORAGE_VM, '-y', '--pool', 'fast'];
    const run = await fresh.coffer([
      ...restore,
      '-x',
      'fedora-42-xfce',
      '--ignore-missing',
      backup,
    ]);
    expect(run, run.stderr).toMatchObject({ status: 0 });
    expect(fresh.volume('vault', 'private')).toMatchObject({ pool: 'fast', size: 5_000_000 });
    expect(fresh.sha256('vault', 'private')).toBe(old.sha256('vault', 'private'));
    expect(run.stdout).toContain('template debian-13 instead of fedora-42-xfce');
  });
});
