import type { DeviceAssignment, FirewallRule } from '../qube.ts';
import { STANDARD_LABELS, type QubesStore, type StoredQube } from '../xml/qubes-store.ts';
import type { NewQube } from '../system.ts';

/** A VM of the sandbox: how it is created, and what is set afterwards. */
export interface SampleQube {
  readonly wanted: Pick<NewQube, 'name' | 'qubeClass' | 'label' | 'template'>;
  readonly properties?: Readonly<Record<string, string>>;
  readonly features?: Readonly<Record<string, string>>;
  readonly tags?: readonly string[];
  readonly devices?: readonly DeviceAssignment[];
  readonly firewall?: readonly FirewallRule[];
  readonly notes?: string;
  readonly running?: boolean;
}

const DOM0: StoredQube = {
  name: 'dom0',
  qubeClass: 'AdminVM',
  qid: 0,
  uuid: undefined,
  label: 'black',
  properties: new Map(),
  features: new Map(),
  tags: new Set(),
  devices: [],
  volumes: [],
};

/** A Qubes system with no VM but dom0. */
export const BARE_STORE: QubesStore = {
  labels: STANDARD_LABELS,
  pools: new Map([
    [
      'varlibqubes',
      new Map([
        ['dir_path', '/var/lib/qubes'],
        ['driver', 'file-reflink'],
        ['revisions_to_keep', '1'],
      ]),
    ],
    [
      'linux-kernel',
      new Map([
        ['dir_path', '/var/lib/qubes/vm-kernels'],
        ['driver', 'linux-kernel'],
      ]),
    ],
  ]),
  properties: new Map([
    ['default_kernel', '6.12.1'],
    ['default_netvm', 'sys-usb'],
    ['default_pool', 'varlibqubes'],
    ['default_pool_kernel', 'linux-kernel'],
    ['default_template', 'debian-13'],
  ]),
  qubes: [DOM0],
  unknownDomains: [],
};

const DEBIAN: SampleQube = {
  wanted: { name: 'debian-13', qubeClass: 'TemplateVM', label: 'black', template: undefined },
  properties: { netvm: '' },
  features: { 'os-distribution': 'debian', 'os-version': '13', 'service.updates-proxy-setup': '1' },
  tags: ['template-debian'],
};

/** The storage VM. It runs, and is not backed up itself unless asked for. */
const SYS_USB: SampleQube = {
  wanted: { name: 'sys-usb', qubeClass: 'AppVM', label: 'red', template: 'debian-13' },
  properties: {
    autostart: 'True',
    include_in_backups: 'False',
    maxmem: '0',
    memory: '300',
    provides_network: 'True',
    netvm: '',
    virt_mode: 'hvm',
  },
  features: { servicevm: '1' },
  tags: ['usb'],
  devices: [device('pci', 'dom0', '00_14.0', 'required', { 'no-strict-reset': 'True' })],
  running: true,
};

const WORK: SampleQube = {
  wanted: { name: 'work', qubeClass: 'AppVM', label: 'blue', template: 'debian-13' },
  properties: {
    maxmem: '3000',
    memory: '600',
    netvm: 'sys-usb',
    template_for_dispvms: 'True',
    vcpus: '4',
  },
  features: {
    'service.cups': '1',
    'menu-items': 'firefox.desktop xterm.desktop',
    'empty-feature': '',
  },
  tags: ['office', 'project-x'],
  devices: [device('block', 'sys-usb', 'sda', 'ask-to-attach', {})],
  firewall: [
    rule({
      action: 'accept',
      dst4: '192.0.2.0/24',
      proto: 'tcp',
      dstports: '443-443',
      comment: 'the office',
    }),
    rule({ action: 'accept', specialtarget: 'dns' }),
    rule({ action: 'drop' }),
  ],
  notes: 'Everything for the office.\nRenew the certificate in May – ask Zoë.\n',
};

const VAULT: SampleQube = {
  wanted: { name: 'vault', qubeClass: 'AppVM', label: 'black', template: 'debian-13' },
  properties: { default_dispvm: '', memory: '200', netvm: '' },
  features: { 'service.network-manager': '', 'gui-secure-copy-sequence': 'Ctrl-Shift-C' },
  tags: ['offline', 'secret'],
  firewall: [rule({ action: 'drop' })],
};

const DEV_BOX: SampleQube = {
  wanted: { name: 'dev-box', qubeClass: 'StandaloneVM', label: 'purple', template: undefined },
  properties: {
    default_dispvm: 'work',
    kernel: '',
    kernelopts: 'nopat iommu=soft',
    memory: '800',
    vcpus: '8',
    virt_mode: 'hvm',
  },
  features: { 'x-build-flags': '-DNAME="a <b> & \'c\'"', 'service.crond': '1' },
  tags: ['dev'],
  devices: [
    device('pci', 'dom0', '00_1f.3', 'required', { permissive: 'True', 'no-strict-reset': 'True' }),
  ],
  firewall: [
    rule({ action: 'accept', dst6: '2001:db8::/32', proto: 'udp', dstports: '5000-5010' }),
    rule({ action: 'accept', dsthost: 'git.example.org', proto: 'tcp', dstports: '22-22' }),
    rule({ action: 'drop', proto: 'icmp', icmptype: '8', comment: 'no pings, please' }),
    rule({ action: 'accept' }),
  ],
  notes: 'Compiler from source.',
};

/** The VMs of a sandbox, in the order in which they can be created. */
export function sampleQubes(empty: boolean): readonly SampleQube[] {
  return empty ? [DEBIAN, SYS_USB] : [DEBIAN, SYS_USB, WORK, VAULT, DEV_BOX];
}

function rule(options: Readonly<Record<string, string>>): FirewallRule {
  return new Map(Object.entries(options));
}

function device(
  deviceClass: string,
  backend: string,
  port: string,
  mode: string,
  options: Readonly<Record<string, string>>,
): DeviceAssignment {
  const named = Object.entries(options).map(([key, value]) => [`_${key}`, value] as const);
  return {
    deviceClass,
    backend,
    port,
    fields: new Map([['device_id', '*'], ['mode', mode], ...named]),
  };
}
