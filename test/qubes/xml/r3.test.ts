import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isValidQubeName } from '../../../dom0-agent/qubes/qube.ts';
import { readR3QubesXml } from '../../../dom0-agent/qubes/xml/read-r3-qubes-xml.ts';
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

/** An element of a VM `work` with qid 5 that is in the backup. */
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
  if (first === undefined) throw new Error('there is no VM');
  return first;
}

describe('a VM of R3 is converted to R4:', () => {
  test('an AppVM has only the settings that were set by hand', () => {
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

  test('a VM without a network has disposables without one', () => {
    const { qube } = only('QubesAppVm', { uses_default_netvm: 'False', netvm_qid: 'none' });
    expect(qube.properties.get('netvm')).toBe('');
    expect(qube.properties.get('default_dispvm')).toBe('');
  });

  test('a VM with another network has the name of its net VM', () => {
    const { qube } = only('QubesAppVm', { uses_default_netvm: 'False', netvm_qid: '2' });
    expect(qube.properties.get('netvm')).toBe('netvm');
  });

  test('a VM whose disposables have another network has no disposables', () => {
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

  test('a template has a root volume', () => {
    const { qube } = only('QubesTemplateVm', {
      template_qid: 'none',
      backup_path: 'vm-templates/work',
    });
    expect(qube.qubeClass).toBe('TemplateVM');
    expect(qube.volumes.map(({ name }) => name)).toEqual(['root', 'private']);
  });

  test('an HVM has the virtualisation mode hvm and no kernel', () => {
    const { qube } = only('QubesHVm', {
      template_qid: 'none',
      uses_default_netvm: 'True',
      netvm_qid: 'none',
    });
    expect(qube.qubeClass).toBe('StandaloneVM');
    expect(Object.fromEntries(qube.properties)).toEqual({ virt_mode: 'hvm', kernel: '' });
    expect(Object.fromEntries(qube.features)).toEqual({ 'linux-stubdom': '' });
  });

  test('a NetVM has its network cards', () => {
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

  test('a ProxyVM provides a network and has one', () => {
    const { qube } = only('QubesProxyVm', { uses_default_netvm: 'False', netvm_qid: '2' });
    expect(qube.properties.get('provides_network')).toBe('True');
    expect(qube.properties.get('netvm')).toBe('netvm');
  });

  test('a VM has its own kernel, no kernel, or the default', () => {
    const own = only('QubesAppVm', { uses_default_kernel: 'False', kernel: '3.18.17-8' });
    expect(own.qube.properties.get('kernel')).toBe('3.18.17-8');
    const none = only('QubesAppVm', { uses_default_kernel: 'False', kernel: 'None' });
    expect(none.qube.properties.get('kernel')).toBe('');
    const usual = only('QubesAppVm', { uses_default_kernel: 'True', kernel: '3.18.17-8' });
    expect(usual.qube.properties.has('kernel')).toBe(false);
  });
});

describe('the qubes.xml of R3', () => {
  test('is read with the VMs that are in the backup, and dom0', () => {
    const contents = readR3QubesXml(
      collection(
        vm('QubesAppVm'),
        vm('QubesAppVm', { qid: '6', name: 'vault', backup_content: 'False' }),
        '<QubesDisposableVm qid="15" name="disp50" dispid="50"/>',
        '<QubesAdminVm qid="0" name="dom0" backup_content="True" backup_path="dom0-home/user"/>',
      ),
    );
    expect(contents.qubes.map(({ qube }) => qube.name)).toEqual(['work']);
    expect(contents.dom0Home).toMatchObject({ directory: 'dom0-home/user', user: 'user' });
  });

  test('of R2 need not contain dom0', () => {
    expect(readR3QubesXml(collection()).dom0Home).toBeUndefined();
  });

  test('with ten thousand VMs is read within 20 s', () => {
    const vms = Array.from({ length: 10_000 }, (_, i) =>
      vm('QubesAppVm', { qid: `${i + 10}`, name: `vm-${i}`, backup_path: `vm${i + 10}` }),
    );
    const begun = performance.now();
    expect(readR3QubesXml(collection(...vms)).qubes).toHaveLength(10_000);
    expect(performance.now() - begun).toBeLessThan(20_000);
  });
});

test.each([
  ['an entity', '<!DOCTYPE a [<!ENTITY e "x">]><QubesVmCollection/>'],
  ['another root', '<qubes/>'],
])('a qubes.xml of R3 with %s is refused', (_, text) => {
  expect(() => readR3QubesXml(text)).toThrow(DamagedError);
});

/** Another VM, which is valid. */
const VAULT = vm('QubesAppVm', { qid: '6', name: 'vault', backup_path: 'vm6' });

describe('a name that Qubes no longer accepts', () => {
  test.each([
    ['my-dm', 'my-dm-1'],
    ['default', 'default-1'],
    ['none', 'none-1'],
    ['dom0', 'dom0-1'],
    ['7zip', 'vm7zip-1'],
    ['my vm', 'my_vm-1'],
    ['../../etc', 'vm.._.._etc-1'],
    ['', 'vm-1'],
    ['vault', 'vault'],
    ['x'.repeat(40), `${'x'.repeat(29)}-1`],
  ])('"%s" is changed to "%s", with a remark and the old name', (name, newName) => {
    const { qubes } = readR3QubesXml(collection(vm('QubesAppVm', { name }), VAULT));
    const [renamed, vault] = qubes;
    expect(renamed?.qube.name).toBe(newName);
    expect(isValidQubeName(newName)).toBe(true);
    if (name === 'vault') {
      // Two VMs have this name: the second one gets a new name.
      expect(vault?.qube.name).toBe('vault-1');
      return;
    }
    expect(renamed).toMatchObject({ formerName: name, directory: 'vm5' });
    expect(renamed?.remarks[0]).toMatch(/^called ".*" in the backup, a name that Qubes/);
    expect(vault).toMatchObject({ directory: 'vm6', remarks: [], formerName: undefined });
  });

  test('is also changed in references, to a name that no other VM has', () => {
    const { qubes } = readR3QubesXml(
      collection(
        vm('QubesTemplateVm', { name: 'my-dm', template_qid: 'none' }),
        vm('QubesAppVm', { qid: '7', name: 'my-dm-1', backup_path: 'vm7', template_qid: '5' }),
      ),
    );
    expect(qubes.map(({ qube }) => qube.name)).toEqual(['my-dm-2', 'my-dm-1']);
    expect(qubes[1]?.qube.properties.get('template')).toBe('my-dm-2');
  });

  test('of a VM that is not in the backup is ignored', () => {
    const { qubes, unusable } = readR3QubesXml(
      collection(vm('QubesAppVm', { name: 'my-dm', backup_content: 'False' }), VAULT),
    );
    expect(qubes.map(({ qube, remarks }) => [qube.name, remarks])).toEqual([['vault', []]]);
    expect(unusable).toEqual([]);
  });
});

describe('a value that Qubes does not accept is left out, with a remark', () => {
  test.each<[string, Record<string, string>, RegExp]>([
    ['default_user', { default_user: 'John Smith' }, /^default_user "John Smith" left out/],
    ['memory', { memory: '1e9' }, /^memory "1e9" left out/],
    ['maxmem', { maxmem: '-1' }, /^maxmem/],
    ['vcpus', { vcpus: 'all' }, /^vcpus/],
    ['mac', { mac: 'unknown' }, /^mac/],
    ['kernel', { uses_default_kernel: 'False', kernel: 'a&#10;b' }, /^kernel "a\?b" left out/],
    ['kernelopts', { uses_default_kernelopts: 'False', kernelopts: 'é' }, /^kernelopts/],
  ])('%s', (property, attributes, remark) => {
    const { qube, remarks } = only('QubesAppVm', { ...attributes, autostart: 'True' });
    expect(remarks).toEqual([expect.stringMatching(remark)]);
    expect(qube.properties.has(property)).toBe(false);
    expect(qube.properties.get('autostart')).toBe('True');
  });

  test('a label, in place of which the VM has red', () => {
    const { qube, remarks } = only('QubesAppVm', { label: '../red' });
    expect(qube.label).toBe('red');
    expect(remarks).toEqual([expect.stringMatching(/^label "\.\.\/red" left out/)]);
  });

  test('services and devices', () => {
    const odd = only('QubesAppVm', {
      services: "{'cups': True, 'a b': True}",
      pcidevs: "['02:00.0', '../../x']",
    });
    expect(odd.qube.features.get('service.cups')).toBe('1');
    expect(odd.qube.devices.map(({ port }) => port)).toEqual(['02_00.0']);
    expect(odd.remarks).toHaveLength(2);
    const code = only('QubesAppVm', { services: "__import__('os')", pcidevs: '[[]]' });
    expect(code.qube.features.size).toBe(0);
    expect(code.qube.devices).toEqual([]);
    expect(code.remarks).toEqual([
      expect.stringMatching(/^services ".*" left out/),
      expect.stringMatching(/^pcidevs ".*" left out/),
    ]);
  });

  test('not a template or network that is not in the list, which has a name that shows that', () => {
    const { qube } = only('QubesAppVm', {
      template_qid: '77',
      uses_default_netvm: 'False',
      netvm_qid: '78',
    });
    expect(qube).toMatchObject({ qubeClass: 'AppVM' });
    expect(qube.properties.get('template')).toBe('number 77');
    expect(qube.properties.get('netvm')).toBe('number 78');
  });
});

test.each<[string, Record<string, string>]>([
  ['an invalid qid', { qid: '-5' }],
  ['the qid of another', { qid: '3' }],
  ['a directory outside of the backup', { backup_path: '../x' }],
  ['an absolute directory', { backup_path: '/etc' }],
  ['no directory', { backup_path: '' }],
])('a VM of R3 with %s cannot be used, while the others can', (_, attributes) => {
  const { qubes, unusable } = readR3QubesXml(collection(vm('QubesAppVm', attributes), VAULT));
  expect(qubes.map(({ qube }) => qube.name)).toEqual(['vault']);
  expect(unusable).toMatchObject([{ name: 'work' }]);
});

test('a VM of R3 with the directory of another or of an unknown class, and a home with an invalid path, cannot be used', () => {
  const { qubes, dom0Home, unusable } = readR3QubesXml(
    collection(
      VAULT,
      vm('QubesAppVm', { backup_path: 'vm6' }),
      vm('QubesFutureVm', { qid: '8', name: 'far', backup_path: 'vm8' }),
      '<QubesAdminVm qid="0" name="dom0" backup_content="True" backup_path="home"/>',
    ),
  );
  expect(qubes.map(({ qube }) => qube.name)).toEqual(['vault']);
  expect(dom0Home).toBeUndefined();
  expect(unusable.map(({ name, directory }) => [name, directory])).toEqual([
    ['work', 'vm6'],
    ['far', 'vm8'],
    ['dom0', 'home'],
  ]);
});

/** Characters that an attribute of a well-formed document cannot contain. */
const NOT_PLAIN = /[&<>"]|[^\x20-\ud7ff\ue000-\ufffd]/g;

test('a VM of R3 with any attributes does not keep the others from being read', () => {
  const attribute = fc.constantFrom(
    ...'qid name label template_qid netvm_qid uses_default_netvm services pcidevs kernel backup_path backup_size mac default_user'.split(
      ' ',
    ),
  );
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('none', 'default', 'a-dm', '0', '5', '{}', "['a'", 'True', 'vm1', '../x'),
  );
  const [expected] = readR3QubesXml(collection(VAULT)).qubes;
  fc.assert(
    fc.property(fc.array(fc.tuple(attribute, value)), (attributes) => {
      const escaped = attributes.map(([key, text]) => [key, text.replace(NOT_PLAIN, '')] as const);
      const odd = vm('QubesAppVm', Object.fromEntries(escaped));
      const { qubes } = readR3QubesXml(collection(odd, VAULT));
      expect(qubes.at(-1)).toEqual(expected);
      for (const { qube, directory } of qubes) {
        expect(isValidQubeName(qube.name)).toBe(true);
        expect(directory).toMatch(/^[A-Za-z0-9_][A-Za-z0-9_.@/-]*$/);
        expect(directory).not.toContain('..');
      }
    }),
  );
});
