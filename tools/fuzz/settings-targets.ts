import { isDeepStrictEqual } from 'node:util';
import { formatFirewallXml, parseFirewallXml } from '../../dom0-agent/qubes/xml/firewall-xml.ts';
import type { Qube } from '../../dom0-agent/qubes/qube.ts';
import { BARE_STORE } from '../../dom0-agent/qubes/sandbox/sample-qubes.ts';
import { backupQubesXml, readBackupQubesXml } from '../../dom0-agent/qubes/xml/backup-qubes-xml.ts';
import { formatQubesXml } from '../../dom0-agent/qubes/xml/format-qubes-xml.ts';
import { parseQubesXml } from '../../dom0-agent/qubes/xml/parse-qubes-xml.ts';
import { parseR3Firewall } from '../../dom0-agent/qubes/xml/r3-firewall.ts';
import { readR3QubesXml } from '../../dom0-agent/qubes/xml/read-r3-qubes-xml.ts';
import { DamagedError } from '../../shared/errors.ts';
import type { Target } from './target.ts';

/** Pieces of XML that are malformed, nested, or try to make the parser do something, and hostile values. */
const XML_WORDS = [
  '<!DOCTYPE x [<!ENTITY a "b">]>',
  '&a;',
  '&#0;',
  '&#x10ffff;',
  '<![CDATA[x]]>',
  '<!--',
  '<?pi?>',
  ' xmlns:a="b"',
  '<a>',
  '</a>',
  '"',
  "'",
  '/>',
  '__proto__',
  'constructor',
  '../..',
  '\u001b[2J',
  '\u202e',
  'True',
  'None',
  'dom0',
];

const AN_APP_VM: Qube = {
  name: 'work',
  qubeClass: 'AppVM',
  qid: 5,
  uuid: undefined,
  label: 'blue',
  properties: new Map([
    ['template', 'debian'],
    ['memory', '600'],
    ['kernelopts', 'a b'],
  ]),
  features: new Map([['menu-items', 'a.desktop b.desktop']]),
  tags: new Set(['created-by-dom0']),
  devices: [
    {
      deviceClass: 'pci',
      backend: 'dom0',
      port: '00_1f.2',
      fields: new Map([['mode', 'required']]),
    },
  ],
  volumes: [
    { name: 'private', size: 2 ** 31, usage: undefined, pool: 'lvm', vid: 'vm', saveOnStop: true },
  ],
};

const dom0 = BARE_STORE.qubes[0];

function backupXml(): Buffer {
  if (dom0 === undefined) throw new Error('the bare store has no dom0');
  return Buffer.from(
    backupQubesXml({
      created: new Date(0),
      dom0,
      dom0Home: { directory: 'dom0-home/home', user: 'user', size: 7 },
      qubes: [{ qube: AN_APP_VM, directory: 'vm5', size: 12 }],
    }),
  );
}

const R3_QUBES = `<QubesVmCollection default_netvm="3" default_template="1" default_kernel="4.4">
<QubesTemplateVm qid="1" name="fedora-23" label="black" netvm_qid="3" uses_default_netvm="True" services="{'meminfo-writer': True}" backup_content="True" backup_path="vm-templates/fedora-23" backup_size="9"/>
<QubesNetVm qid="2" name="netvm" template_qid="1" pcidevs="['00:19.0', '03:00.0']" backup_content="True" backup_path="vm2" backup_size="5"/>
<QubesProxyVm qid="3" name="firewallvm" template_qid="1" netvm_qid="2" uses_default_netvm="False"/>
<QubesAppVm qid="5" name="work" label="green" template_qid="1" netvm_qid="3" memory="400" maxmem="4000" vcpus="2" kernel="4.4" uses_default_kernel="False" kernelopts="quiet" backup_content="True" backup_path="appvms/work" backup_size="25165824"/>
<QubesHVm qid="6" name="win" label="red" netvm_qid="none" drive="None" backup_content="True" backup_path="vm6" backup_size="1"/>
</QubesVmCollection>`;

const R3_FIREWALL = `<QubesFirewallRules policy="deny" dns="allow" icmp="allow" yumProxy="deny">
<rule address="10.0.0.0" netmask="8" proto="tcp" port="80" toport="443"/>
<rule address="example.org" proto="any" port="53"/>
<rule address="::1" netmask="128" proto="icmp" expire="1700000000"/></QubesFirewallRules>`;

const FIREWALL = formatFirewallXml([
  new Map([
    ['action', 'accept'],
    ['proto', 'tcp'],
    ['dst4', '10.0.0.0/8'],
    ['dstports', '80-443'],
    ['comment', 'web'],
  ]),
  new Map([
    ['action', 'accept'],
    ['specialtarget', 'dns'],
    ['expire', '1700000000'],
  ]),
  new Map([['action', 'drop']]),
]);

/** A target that parses text. */
function textTarget(
  name: string,
  sources: readonly string[],
  seeds: () => readonly Buffer[],
  parse: (text: string) => void,
): Target {
  return {
    name,
    sources: [...sources, 'qubes/xml/strict-xml.ts'],
    seeds,
    words: XML_WORDS,
    refusal: DamagedError,
    run: (input) => parse(input.toString('utf8')),
  };
}

/** Throws unless what was parsed is the same after it was written and parsed again. */
function requireSame(one: unknown, other: unknown): void {
  if (!isDeepStrictEqual(one, other)) throw new Error('it is not the same again');
}

export const SETTINGS_TARGETS: readonly Target[] = [
  textTarget(
    'qubes-xml-r4',
    ['xml/parse-qubes-xml.ts', 'xml/backup-qubes-xml.ts', 'xml/devices-xml.ts'],
    () => [backupXml(), Buffer.from(formatQubesXml(BARE_STORE))],
    (text) => {
      const store = parseQubesXml(text);
      requireSame(parseQubesXml(formatQubesXml(store)).qubes, store.qubes);
      readBackupQubesXml(text);
    },
  ),
  textTarget(
    'qubes-xml-r3',
    ['xml/read-r3-qubes-xml.ts', 'xml/r3-qube.ts', 'xml/python-literals.ts'],
    () => [Buffer.from(R3_QUBES)],
    (text) => {
      readR3QubesXml(text);
    },
  ),
  textTarget(
    'firewall-xml-r4',
    ['xml/firewall-xml.ts', 'qubes/firewall.ts'],
    () => [Buffer.from(FIREWALL)],
    (text) => {
      const rules = parseFirewallXml(text);
      requireSame(parseFirewallXml(formatFirewallXml(rules)), rules);
    },
  ),
  textTarget(
    'firewall-xml-r3',
    ['xml/r3-firewall.ts'],
    () => [Buffer.from(R3_FIREWALL)],
    (text) => {
      const rules = parseR3Firewall(text);
      // They are meant for qubesd, so they must be valid rules of R4.
      parseFirewallXml(formatFirewallXml(rules));
    },
  ),
];
