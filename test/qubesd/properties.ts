import { Refusal } from './refusal.ts';
import type { Store, StoredQube } from './store.ts';

/** The properties of VMs and of the system, with their defaults. */

type Type = 'str' | 'int' | 'bool' | 'vm' | 'label';

interface Definition<Owner> {
  readonly name: string;
  readonly type: Type;
  readonly byDefault: (owner: Owner, store: Store) => string;
}

const of =
  <Owner>(name: string, type: Type) =>
  (byDefault: string | Definition<Owner>['byDefault']): Definition<Owner> => ({
    name,
    type,
    byDefault: typeof byDefault === 'string' ? () => byDefault : byDefault,
  });
const vm = of<StoredQube>;

/** The value of a property of a VM; empty if it is none. */
export function valueOf(store: Store, qube: StoredQube, name: string): string {
  const definition = definitionsOf(qube).find((known) => known.name === name);
  return qube.properties.get(name) ?? definition?.byDefault(qube, store) ?? '';
}

const netvmOf = (qube: StoredQube, store: Store) => store.qubes.get(valueOf(store, qube, 'netvm'));
const address = ({ qid }: StoredQube) => `10.137.${qid >> 8}.${qid & 255}`;
const ifNetworked = (value: string) => (qube: StoredQube, store: Store) =>
  netvmOf(qube, store) === undefined ? '' : value;
const ipOf = (qube: StoredQube, store: Store) =>
  netvmOf(qube, store) === undefined && valueOf(store, qube, 'provides_network') !== 'True'
    ? ''
    : address(qube);
const isHvm = (qube: StoredQube, store: Store) => valueOf(store, qube, 'virt_mode') === 'hvm';
const isTemplate = ({ klass }: StoredQube) => klass === 'TemplateVM';
const isBased = ({ klass }: StoredQube) => klass === 'AppVM' || klass === 'DispVM';

function iconOf(qube: StoredQube, store: Store): string {
  const label = valueOf(store, qube, 'label');
  if (qube.klass === 'AdminVM') return `adminvm-${label}`;
  if (qube.features.has('servicevm')) return `servicevm-${label}`;
  if (isTemplate(qube) || valueOf(store, qube, 'template_for_dispvms') === 'True') {
    return `templatevm-${label}`;
  }
  return `${qube.klass.toLowerCase()}-${label}`;
}

/** In the order of `GetAll`. */
const ALL: readonly Definition<StoredQube>[] = [
  vm('auto_cleanup', 'bool')('False'),
  vm('autostart', 'bool')('False'),
  vm('backup_timestamp', 'int')(''),
  vm('debug', 'bool')('False'),
  vm('default_user', 'str')('user'),
  vm('devices_denied', 'str')(''),
  vm('dispid', 'int')('1'),
  vm('dns', 'str')(ifNetworked('10.139.1.1 10.139.1.2')),
  vm(
    'gateway',
    'str',
  )((qube, store) => (valueOf(store, qube, 'provides_network') === 'True' ? address(qube) : '')),
  vm('gateway6', 'str')(''),
  vm('icon', 'str')(iconOf),
  vm(
    'include_in_backups',
    'bool',
  )((qube, store) => (valueOf(store, qube, 'auto_cleanup') === 'True' ? 'False' : 'True')),
  vm('installed_by_rpm', 'bool')('False'),
  vm('ip', 'str')(ipOf),
  vm('ip6', 'str')(''),
  vm('kernel', 'str')((_, store) => store.properties.get('default_kernel') ?? ''),
  vm('keyboard_layout', 'str')('us++'),
  vm('klass', 'str')(({ klass }) => klass),
  vm('label', 'label')(''),
  vm('mac', 'str')('00:16:3e:5e:6c:00'),
  vm(
    'maxmem',
    'int',
  )((qube, store) => {
    if (qube.klass === 'AdminVM') return '4096';
    return isHvm(qube, store) ? '0' : '4000';
  }),
  vm('memory', 'int')('400'),
  vm('name', 'str')('dom0'),
  vm('provides_network', 'bool')('False'),
  vm('qid', 'int')('0'),
  vm('qrexec_timeout', 'int')('60'),
  vm('shutdown_timeout', 'int')('60'),
  vm('start_time', 'str')(''),
  vm('stubdom_mem', 'int')(''),
  vm('stubdom_uuid', 'str')(''),
  vm('stubdom_xid', 'int')('-1'),
  vm('template_for_dispvms', 'bool')('False'),
  vm('updateable', 'bool')((qube) => (isBased(qube) ? 'False' : 'True')),
  vm('uuid', 'str')(({ uuid }) => uuid),
  vm('vcpus', 'int')('2'),
  vm('virt_mode', 'str')('pvh'),
  vm(
    'visible_gateway',
    'str',
  )((qube, store) => {
    const netvm = netvmOf(qube, store);
    return netvm === undefined ? '' : address(netvm);
  }),
  vm('visible_gateway6', 'str')(''),
  vm('visible_ip', 'str')(ipOf),
  vm('visible_ip6', 'str')(''),
  vm('visible_netmask', 'str')(ifNetworked('255.255.255.255')),
  vm('xid', 'int')('-1'),
  vm('appvm_default_bootmode', 'str')('default'),
  vm('audiovm', 'vm')('dom0'),
  vm('bootmode', 'str')('default'),
  vm('default_dispvm', 'vm')((_, store) => store.properties.get('default_dispvm') ?? ''),
  vm('guivm', 'vm')('dom0'),
  vm(
    'kernelopts',
    'str',
  )((qube, store) => (valueOf(store, qube, 'kernel') === '' ? '' : 'swiotlb=2048')),
  vm('management_dispvm', 'vm')(''),
  vm(
    'netvm',
    'vm',
  )((qube, store) => (isTemplate(qube) ? '' : (store.properties.get('default_netvm') ?? ''))),
  vm('template', 'vm')(''),
];

const OF_DOM0 = new Set(
  'devices_denied icon include_in_backups keyboard_layout klass label maxmem name qid updateable uuid default_dispvm'.split(
    ' ',
  ),
);
/** Properties that only some classes have. */
const ONLY_FOR = new Map([
  ['auto_cleanup', ['DispVM']],
  ['dispid', ['DispVM']],
  ['template_for_dispvms', ['AppVM', 'StandaloneVM']],
  ['appvm_default_bootmode', ['TemplateVM']],
  ['template', ['AppVM', 'DispVM']],
]);

function definitionsOf({ klass }: StoredQube): Definition<StoredQube>[] {
  return ALL.filter(({ name }) =>
    klass === 'AdminVM' ? OF_DOM0.has(name) : (ONLY_FOR.get(name)?.includes(klass) ?? true),
  );
}

const ofSystem = of<undefined>;
const setting = (key: string) => (_: undefined, store: Store) => store.properties.get(key) ?? '';
const SYSTEM: readonly Definition<undefined>[] = [
  ofSystem('check_updates_vm', 'bool')('True'),
  ofSystem('clockvm', 'vm')(''),
  ofSystem('default_audiovm', 'vm')('dom0'),
  ofSystem('default_dispvm', 'vm')(''),
  ofSystem('default_guivm', 'vm')('dom0'),
  ofSystem('default_kernel', 'str')(''),
  ofSystem('default_netvm', 'vm')(''),
  ofSystem('default_pool', 'str')('varlibqubes'),
  ofSystem('default_pool_kernel', 'str')('linux-kernel'),
  ofSystem('default_pool_private', 'str')(setting('default_pool')),
  ofSystem('default_pool_root', 'str')(setting('default_pool')),
  ofSystem('default_pool_volatile', 'str')(setting('default_pool')),
  ofSystem('default_qrexec_timeout', 'int')('60'),
  ofSystem('default_shutdown_timeout', 'int')('60'),
  ofSystem('default_template', 'vm')(''),
  ofSystem('management_dispvm', 'vm')(''),
  ofSystem('maxmem', 'int')('16384'),
  ofSystem('no_cpus', 'int')('4'),
  ofSystem('stats_interval', 'int')('3'),
  ofSystem('updatevm', 'vm')(''),
];

/** `admin.vm.property.GetAll` */
export function allProperties(store: Store, qube: StoredQube): string {
  return definitionsOf(qube)
    .map(({ name }) => `${name} ${escaped(property(store, qube, name))}\n`)
    .join('');
}

/** `admin.property.GetAll` */
export function systemProperties(store: Store): string {
  return SYSTEM.map(({ name, type, byDefault }) => {
    const set = store.properties.get(name);
    const value = set ?? byDefault(undefined, store);
    return `${name} ${formatted(set !== undefined, type, value)}\n`;
  }).join('');
}

/** `admin.vm.property.Get` */
export function property(store: Store, qube: StoredQube, name: string): string {
  const definition = definitionOf(qube, name);
  const isNamed = qube.klass !== 'AdminVM' && ['name', 'qid', 'uuid'].includes(name);
  if (isNamed) {
    const own = { name: qube.name, qid: String(qube.qid), uuid: qube.uuid };
    return formatted(true, definition.type, Object.entries(own).find(([key]) => key === name)?.[1]);
  }
  const set = qube.properties.get(name);
  return formatted(set !== undefined, definition.type, set ?? definition.byDefault(qube, store));
}

const formatted = (isSet: boolean, type: Type, value = '') =>
  `default=${isSet ? 'False' : 'True'} type=${type} ${value}`;
const escaped = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');

function definitionOf(qube: StoredQube, name: string): Definition<StoredQube> {
  const definition = definitionsOf(qube).find((known) => known.name === name);
  if (definition !== undefined) return definition;
  throw new Refusal('QubesNoSuchPropertyError', `Invalid property '${name}' of ${qube.name}`);
}

/** `admin.vm.property.Set` */
export function setProperty(store: Store, qube: StoredQube, name: string, value: string): void {
  const { type } = definitionOf(qube, name);
  if (name === 'uuid') {
    throw new Refusal('QubesValueError', 'Failed to parse property value as UUID');
  }
  if (type === 'int' && !/^-?\d+$/.test(value)) {
    throw new Refusal('QubesValueError', 'Failed to parse property value as int');
  }
  if (type === 'bool' && !['True', 'False'].includes(value)) {
    throw new Refusal('QubesValueError', 'Failed to parse property value as bool');
  }
  if (type === 'vm' && value !== '' && !store.qubes.has(value)) {
    throw new Refusal('QubesPropertyValueError', `Can't set ${name} to non-existing qube ${value}`);
  }
  if (type === 'label' && !store.labels.has(value)) {
    throw new Refusal('QubesLabelNotFoundError', `Label does not exist: ${value}`);
  }
  if (name === 'netvm' && value !== '') requireNetwork(store, qube, value);
  if (name === 'kernel' && value !== '' && !store.kernels.has(value)) {
    throw new Refusal('QubesPropertyValueError', `Kernel '${value}' not installed`);
  }
  qube.properties.set(name, value);
  // The extensions `gui` and `audio` do this.
  if (name === 'guivm' || name === 'audiovm') {
    for (const tag of qube.tags) if (tag.startsWith(`${name}-`)) qube.tags.delete(tag);
    if (value !== '') qube.tags.add(`${name}-${value}`);
  }
  // The extension `core_features` keeps this synchronized.
  if (name === 'provides_network') {
    if (value === 'True') qube.features.set('servicevm', '1');
    else qube.features.delete('servicevm');
  }
}

/** `_setter_netvm` in qubes/vm/mix/net.py */
function requireNetwork(store: Store, qube: StoredQube, name: string): void {
  const netvm = store.qubes.get(name);
  if (netvm === undefined || valueOf(store, netvm, 'provides_network') !== 'True') {
    throw new Refusal('QubesValueError', `The ${name} qube does not provide network`);
  }
  const seen = new Set<StoredQube>();
  let next: StoredQube | undefined = netvm;
  while (next !== undefined && !seen.has(next)) {
    if (next === qube) throw new Refusal('QubesValueError', 'Loops in network are unsupported');
    seen.add(next);
    next = netvmOf(next, store);
  }
}

/** Whether a VM or the system refers to this VM in a property that was set. */
export function isReferredTo(store: Store, { name }: StoredQube): boolean {
  const isOfVm = (property: string, definitions: readonly { name: string; type: Type }[]) =>
    definitions.some((known) => known.name === property && known.type === 'vm');
  const refers = (
    properties: ReadonlyMap<string, string>,
    definitions: typeof ALL | typeof SYSTEM,
  ) => [...properties].some(([key, value]) => value === name && isOfVm(key, definitions));
  const others = [...store.qubes.values()].filter((qube) => qube.name !== name);
  return refers(store.properties, SYSTEM) || others.some((qube) => refers(qube.properties, ALL));
}

/** `admin.vm.property.Reset` */
export function resetProperty(qube: StoredQube, name: string): void {
  definitionOf(qube, name);
  qube.properties.delete(name);
}
