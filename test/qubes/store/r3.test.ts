import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isR3QubesXml, readR3QubesXml } from '../../../dom0-agent/qubes/store/r3.ts';
import { DamagedError } from '../../../shared/errors.ts';

const TEMPLATE =
  '<QubesTemplateVm qid="1" name="fedora-20-x64" label="black" template_qid="none" netvm_qid="3" uses_default_netvm="True" services="{\'meminfo-writer\': True}"/>';

function collection(...vms: string[]): string {
  return `<QubesVmCollection default_netvm="3" default_template="1">
    ${TEMPLATE}
    <QubesNetVm qid="2" name="netvm" template_qid="1"/>
    <QubesProxyVm qid="3" name="firewallvm" template_qid="1" netvm_qid="2" uses_default_netvm="False"/>
    ${vms.join('\n')}
  </QubesVmCollection>`;
}

/** An element of a VM that is in the backup, as number 5, `work`. */
function vm(element: string, attributes: Record<string, string> = {}): string {
  const all = {
    qid: '5',
    name: 'work',
    label: 'green',
    template_qid: '1',
    backup_content: 'True',
    backup_path: 'vm5',
    backup_size: '25165824',
    ...attributes,
  };
  const text = Object.entries(all).map(([key, value]) => `${key}="${value}"`);
  return `<${element} ${text.join(' ')}/>`;
}

function only(element: string, attributes: Record<string, string> = {}) {
  const [first, ...others] = readR3QubesXml(collection(vm(element, attributes))).qubes;
  expect(others).toEqual([]);
  if (first === undefined) throw new Error('no VM came out');
  return first;
}

describe('a VM of R3 becomes one of R4', () => {
  test('an AppVM with what was set by hand, and no more', () => {
    const { qube, directory, size } = only('QubesAppVm', {
      memory: '600',
      maxmem: '3000',
      vcpus: '4',
      qrexec_timeout: '60',
      uses_default_netvm: 'True',
      services: "{'meminfo-writer': True, 'cups': False, 'qubes-update-check': False}",
    });
    expect({ directory, size }).toEqual({ directory: 'vm5', size: 25165824 });
    expect({
      name: qube.name,
      qubeClass: qube.qubeClass,
      qid: qube.qid,
      label: qube.label,
    }).toEqual({
      name: 'work',
      qubeClass: 'AppVM',
      qid: 5,
      label: 'green',
    });
    expect(Object.fromEntries(qube.properties)).toEqual({
      template: 'fedora-20-x64',
      memory: '600',
      maxmem: '3000',
      vcpus: '4',
    });
    expect(Object.fromEntries(qube.features)).toEqual({
      'service.meminfo-writer': '1',
      'service.cups': '',
      'check-updates': '',
    });
    expect(qube.volumes.map(({ name }) => name)).toEqual(['private']);
  });

  test('without a network, its disposables have none either', () => {
    const { qube } = only('QubesAppVm', { uses_default_netvm: 'False', netvm_qid: 'none' });
    expect(qube.properties.get('netvm')).toBe('');
    expect(qube.properties.get('default_dispvm')).toBe('');
  });

  test('with another network, which is named by its VM', () => {
    const { qube } = only('QubesAppVm', { uses_default_netvm: 'False', netvm_qid: '2' });
    expect(qube.properties.get('netvm')).toBe('netvm');
  });

  test('disposables with a network of their own are not given another', () => {
    const { qube } = only('QubesAppVm', {
      uses_default_dispvm_netvm: 'False',
      dispvm_netvm_qid: '2',
    });
    expect(qube.properties.get('default_dispvm')).toBe('');
    expect(qube.properties.has('netvm')).toBe(false);
  });

  test('a standalone VM has a root volume and the agents', () => {
    const { qube } = only('QubesAppVm', { template_qid: 'none' });
    expect(qube.qubeClass).toBe('StandaloneVM');
    expect(qube.volumes.map(({ name }) => name)).toEqual(['root', 'private']);
    expect(Object.fromEntries(qube.features)).toEqual({ qrexec: '1', gui: '1' });
    expect(qube.properties.has('template')).toBe(false);
  });

  test('a template', () => {
    const { qube } = only('QubesTemplateVm', {
      template_qid: 'none',
      backup_path: 'vm-templates/work',
    });
    expect(qube.qubeClass).toBe('TemplateVM');
    expect(qube.volumes.map(({ name }) => name)).toEqual(['root', 'private']);
  });

  test('an HVM', () => {
    const { qube } = only('QubesHVm', {
      template_qid: 'none',
      uses_default_netvm: 'True',
      netvm_qid: 'none',
    });
    expect(qube.qubeClass).toBe('StandaloneVM');
    expect(Object.fromEntries(qube.properties)).toEqual({ virt_mode: 'hvm', kernel: '' });
    expect(Object.fromEntries(qube.features)).toEqual({ 'linux-stubdom': '' });
  });

  test('a NetVM with its network cards', () => {
    const { qube } = only('QubesNetVm', {
      pcidevs: "['02:00.0', '0000:03:00.1']",
      pci_strictreset: 'False',
    });
    expect(qube.properties.get('provides_network')).toBe('True');
    expect(qube.properties.get('netvm')).toBe('');
    expect(qube.devices.map(({ backend, port }) => `${backend}:${port}`)).toEqual([
      'dom0:02_00.0',
      'dom0:0000_03_00.1',
    ]);
    expect(Object.fromEntries(qube.devices[0]?.fields ?? [])).toEqual({
      device_id: '*',
      mode: 'required',
      '_no-strict-reset': 'True',
    });
  });

  test('a ProxyVM', () => {
    const { qube } = only('QubesProxyVm', { uses_default_netvm: 'False', netvm_qid: '2' });
    expect(qube.properties.get('provides_network')).toBe('True');
    expect(qube.properties.get('netvm')).toBe('netvm');
  });

  test('a kernel of its own, and none', () => {
    const own = only('QubesAppVm', { uses_default_kernel: 'False', kernel: '3.18.17-8' });
    expect(own.qube.properties.get('kernel')).toBe('3.18.17-8');
    const none = only('QubesAppVm', { uses_default_kernel: 'False', kernel: 'None' });
    expect(none.qube.properties.get('kernel')).toBe('');
    const usual = only('QubesAppVm', { uses_default_kernel: 'True', kernel: '3.18.17-8' });
    expect(usual.qube.properties.has('kernel')).toBe(false);
  });
});

describe('the backup', () => {
  test('holds the VMs that it says it does, and dom0', () => {
    const contents = readR3QubesXml(
      collection(
        vm('QubesAppVm'),
        vm('QubesAppVm', { qid: '6', name: 'vault', backup_content: 'False' }),
        '<QubesDisposableVm qid="15" name="disp50" dispid="50"/>',
        '<QubesAdminVm qid="0" name="dom0" backup_content="True" backup_path="dom0-home/user"/>',
      ),
    );
    expect(contents.qubes.map(({ qube }) => qube.name)).toEqual(['work']);
    expect(contents.dom0Home).toEqual({ directory: 'dom0-home/user', user: 'user' });
  });

  test('of R2 may not know of dom0', () => {
    expect(readR3QubesXml(collection()).dom0Home).toBeUndefined();
  });

  test('ten thousand VMs are read in no time', () => {
    const vms = Array.from({ length: 10_000 }, (_, i) =>
      vm('QubesAppVm', { qid: `${i + 10}`, name: `vm-${i}`, backup_path: `vm${i + 10}` }),
    );
    const begun = performance.now();
    expect(readR3QubesXml(collection(...vms)).qubes).toHaveLength(10_000);
    expect(performance.now() - begun).toBeLessThan(20_000);
  });

  test('is told from one of R4', () => {
    expect(isR3QubesXml(collection())).toBe(true);
    expect(isR3QubesXml('<?xml version="1.0"?>\n<qubes><domains/></qubes>')).toBe(false);
  });
});

test.each([
  ['an entity', '<!DOCTYPE a [<!ENTITY e "x">]><QubesVmCollection/>'],
  ['another root', '<qubes/>'],
  ['a name that Qubes forbids', collection(vm('QubesAppVm', { name: '../../etc' }))],
  ['a VM called dom0', collection(vm('QubesAppVm', { name: 'dom0' }))],
  [
    'a name twice',
    collection(vm('QubesAppVm'), vm('QubesAppVm', { qid: '6', backup_path: 'vm6' })),
  ],
  [
    'a number twice',
    collection(vm('QubesAppVm'), vm('QubesAppVm', { name: 'x', backup_path: 'y' })),
  ],
  ['a directory twice', collection(vm('QubesAppVm'), vm('QubesAppVm', { name: 'x', qid: '6' }))],
  ['no number', collection(vm('QubesAppVm', { qid: '-5' }))],
  ['a directory outside', collection(vm('QubesAppVm', { backup_path: '../x' }))],
  ['an absolute directory', collection(vm('QubesAppVm', { backup_path: '/etc' }))],
  ['no directory', collection(vm('QubesAppVm', { backup_path: '' }))],
  ['a template that is not there', collection(vm('QubesAppVm', { template_qid: '77' }))],
  ['code for services', collection(vm('QubesAppVm', { services: "__import__('os')" }))],
  ['a device that is none', collection(vm('QubesAppVm', { pcidevs: "['../../x']" }))],
  [
    'a kernel with a line break',
    collection(vm('QubesAppVm', { uses_default_kernel: 'False', kernel: 'a&#10;b' })),
  ],
  ['memory that is no number', collection(vm('QubesAppVm', { memory: '1e9' }))],
])('qubes.xml with %s is refused', (_, text) => {
  expect(() => readR3QubesXml(text)).toThrow(DamagedError);
});

test('whatever the attributes are, it is read or refused as damaged', () => {
  const attribute = fc.constantFrom(
    'qid name label template_qid netvm_qid uses_default_netvm services pcidevs kernel backup_path backup_size mac'.split(
      ' ',
    ),
  );
  const name = attribute.chain((names) => fc.constantFrom(...names));
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('none', '0', '5', '{}', "['a'", 'True'),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value)), (attributes) => {
      const escaped = attributes.map(([key, text]) => [key, text.replace(/[&<>"]/g, '')] as const);
      try {
        readR3QubesXml(collection(vm('QubesAppVm', Object.fromEntries(escaped))));
      } catch (error) {
        expect(error).toBeInstanceOf(DamagedError);
      }
    }),
  );
});
