import { DOMParser, type Element } from '@xmldom/xmldom';

/** The state of the double of qubesd, read from a qubes.xml by a small parser of its own. */
export interface Store {
  /** Labels and their colours, in order. */
  readonly labels: Map<string, string>;
  readonly pools: Map<string, Map<string, string>>;
  readonly properties: Map<string, string>;
  readonly qubes: Map<string, StoredQube>;
  /** The kernels that are installed. */
  readonly kernels: Set<string>;
}

export interface StoredQube {
  name: string;
  readonly qid: number;
  readonly uuid: string;
  readonly klass: string;
  /** The properties that were set, including `label` and `template`. */
  readonly properties: Map<string, string>;
  readonly features: Map<string, string>;
  readonly tags: Set<string>;
  /** By class; the value is the serialised assignment. */
  readonly devices: Map<string, Map<string, string>>;
  readonly volumes: Map<string, StoredVolume>;
  state: string;
  firewall: string;
  notes: string;
}

export interface StoredVolume {
  pool: string;
  vid: string;
  size: number;
  rw: boolean;
  source: string;
  saveOnStop: boolean;
  snapOnStart: boolean;
  revisionsToKeep: string;
  ephemeral: boolean;
}

const DOM0_UUID = '00000000-0000-0000-0000-000000000000';

export function parseStore(xml: string): Store {
  const root = new DOMParser().parseFromString(xml, 'text/xml').documentElement;
  if (root === null) throw new Error('no qubes.xml');
  const qubes = within(root, 'domains', 'domain').map(parseQube);
  const properties = namedTexts(within(root, 'properties', 'property'));
  return {
    kernels: new Set([properties.get('default_kernel') ?? '']),
    labels: new Map(
      within(root, 'labels', 'label').map((label) => [textOf(label), attribute(label, 'color')]),
    ),
    pools: new Map(
      within(root, 'pools', 'pool').map((pool) => [
        attribute(pool, 'name'),
        new Map(Array.from(pool.attributes, ({ name, value }) => [name, value])),
      ]),
    ),
    properties,
    qubes: new Map(qubes.map((qube) => [qube.name, qube])),
  };
}

function parseQube(domain: Element): StoredQube {
  const properties = namedTexts(within(domain, 'properties', 'property'));
  const klass = attribute(domain, 'class');
  const name = klass === 'AdminVM' ? 'dom0' : (properties.get('name') ?? '');
  const volumes = within(domain, 'volume-config', 'volume');
  return {
    name,
    klass,
    qid: Number(attribute(domain, 'id').replace('domain-', '')),
    uuid: properties.get('uuid') ?? DOM0_UUID,
    properties: new Map(
      [...properties].filter(([property]) => !['name', 'qid', 'uuid'].includes(property)),
    ),
    features: namedTexts(within(domain, 'features', 'feature')),
    tags: new Set(within(domain, 'tags', 'tag').map((tag) => attribute(tag, 'name'))),
    devices: new Map(
      children(domain, 'devices').map((list) => [
        attribute(list, 'class'),
        parseAssigned(name, list),
      ]),
    ),
    volumes: new Map(volumes.map((volume) => [attribute(volume, 'name'), parseVolume(volume)])),
    state: klass === 'AdminVM' ? 'Running' : 'Halted',
    firewall: 'action=accept\n',
    notes: '',
  };
}

function parseVolume(volume: Element): StoredVolume {
  return {
    pool: attribute(volume, 'pool'),
    vid: attribute(volume, 'vid'),
    size: Number(attribute(volume, 'size')),
    rw: attribute(volume, 'rw') === 'True',
    source: attribute(volume, 'source'),
    saveOnStop: attribute(volume, 'save_on_stop') === 'True',
    snapOnStart: attribute(volume, 'snap_on_start') === 'True',
    revisionsToKeep: attribute(volume, 'revisions_to_keep'),
    ephemeral: attribute(volume, 'ephemeral') === 'True',
  };
}

function parseAssigned(frontend: string, list: Element): Map<string, string> {
  return new Map(
    children(list, 'device').map((device) => {
      const backend = attribute(device, 'backend-domain');
      const port = attribute(device, 'id');
      const identity = attribute(device, 'identity') || '*';
      const words = [
        `device_id='${identity}'`,
        `port_id='${port}'`,
        `devclass='${attribute(list, 'class')}'`,
        `backend_domain='${backend}'`,
        `mode='${attribute(device, 'mode') || 'required'}'`,
        `frontend_domain='${frontend}'`,
        ...children(device, 'option').map(
          (option) => `_${attribute(option, 'name')}='${textOf(option)}'`,
        ),
      ];
      return [`${backend}+${port}:${identity}`, words.join(' ')];
    }),
  );
}

/** The order in which qubesd writes the options of a rule. */
const RULE_ORDER = 'action expire dsthost proto specialtarget dstports icmptype comment'.split(' ');

/** firewall.xml as the lines of `admin.vm.firewall.Get`. */
export function firewallLines(xml: string): string {
  const root = new DOMParser().parseFromString(xml, 'text/xml').documentElement;
  if (root === null) throw new Error('no firewall.xml');
  const rules = within(root, 'rules', 'rule').map((rule) => {
    const properties = namedTexts(within(rule, 'properties', 'property'));
    return RULE_ORDER.flatMap((key) => {
      const value = properties.get(key);
      if (value === undefined) return [];
      if (key === 'dsthost') return [`${hostKind(value)}=${value}`];
      if (key === 'dstports' && !value.includes('-')) return [`dstports=${value}-${value}`];
      return [`${key}=${value}`];
    }).join(' ');
  });
  return rules.map((rule) => `${rule}\n`).join('');
}

function hostKind(host: string): string {
  if (host.includes(':')) return 'dst6';
  return /^[\d./]+$/.test(host) ? 'dst4' : 'dsthost';
}

function within(element: Element, list: string, item: string): Element[] {
  return children(element, list).flatMap((found) => children(found, item));
}

function children(element: Element, name: string): Element[] {
  return Array.from(element.children).filter((child) => child.tagName === name);
}

const attribute = (element: Element, name: string): string => element.getAttribute(name) ?? '';
const textOf = (element: Element): string => element.textContent ?? '';

function namedTexts(elements: readonly Element[]): Map<string, string> {
  return new Map(elements.map((element) => [attribute(element, 'name'), textOf(element)]));
}
