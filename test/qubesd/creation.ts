import type { Call, Machine } from './methods.ts';
import { isReferredTo } from './properties.ts';
import { Refusal, refuse } from './refusal.ts';
import type { Store, StoredQube } from './store.ts';
import * as volumes from './volumes.ts';

/** The VM of this name. */
export function existing(store: Store, name: string): StoredQube {
  const qube = store.qubes.get(name);
  if (qube !== undefined) return qube;
  throw new Refusal('QubesVMNotFoundError', `No such domain: '${name}'`);
}

/** `admin.vm.Create.<class>` and `CreateInPool` */
export function create(
  store: Store,
  machine: Machine,
  klass: string,
  inPool: boolean,
  { arg, payload }: Call,
): string {
  const words = new Map(payload.split(' ').map((word) => [word.split('=')[0], word.split('=')[1]]));
  const name = words.get('name') ?? '';
  const label = words.get('label') ?? '';
  if (!/^[a-zA-Z][a-zA-Z0-9_.-]*$/.test(name)) {
    return refuse('QubesValueError', 'VM name contains illegal characters');
  }
  if (!store.labels.has(label)) {
    return refuse('ProtocolError', 'Creation requested without key: label');
  }
  if (store.qubes.has(name)) {
    return refuse('QubesVMAlreadyExistsError', `Qube already exists: ${name}`);
  }
  const template = arg === '' ? undefined : existing(store, arg);
  const pool = inPool ? words.get('pool') : store.properties.get('default_pool');
  if (pool === undefined || !store.pools.has(pool)) {
    return refuse('QubesException', `Unknown storage pool ${pool ?? ''}`);
  }
  // A disposable copies properties of its template: DispVM.__init__ in qubes/vm/dispvm.py.
  const inherited = klass === 'DispVM' ? template : undefined;
  const properties = new Map([...inheritedProperties(inherited), ['label', label]]);
  if (template !== undefined) properties.set('template', template.name);
  store.qubes.set(name, {
    name,
    klass,
    qid: Math.max(...[...store.qubes.values()].map(({ qid }) => qid)) + 1,
    uuid: machine.uuids.shift() ?? crypto.randomUUID(),
    properties,
    features: new Map(
      [...(inherited?.features ?? [])].filter(([feature]) => !feature.startsWith('preload-dispvm')),
    ),
    tags: new Set(['audiovm-dom0', 'created-by-dom0', 'guivm-dom0', ...(inherited?.tags ?? [])]),
    devices: new Map(),
    volumes: volumes.volumesFor(store, { name, klass, template, pool }),
    state: 'Halted',
    firewall: inherited?.firewall ?? 'action=accept\n',
    notes: '',
  });
  return '';
}

/** Properties that the class of disposables does not have are not copied. */
function inheritedProperties(template: StoredQube | undefined): [string, string][] {
  return [...(template?.properties ?? [])].filter(([name]) => name !== 'template_for_dispvms');
}

/** `admin.vm.Remove` */
export function remove(store: Store, qube: StoredQube): void {
  if (isReferredTo(store, qube)) {
    refuse(
      'QubesVMInUseError',
      `Domain is in use: '${qube.name}';  see 'journalctl -u qubesd -e' in dom0 for details`,
    );
  }
  if (qube.state !== 'Halted') {
    refuse('QubesVMNotHaltedError', `Domain is not powered off: '${qube.name}'`);
  }
  const provides = [...store.qubes.values()].some(({ devices }) =>
    [...devices.values()].some((of) => [...of.keys()].some((at) => at.startsWith(`${qube.name}+`))),
  );
  if (provides) refuse('QubesVMInUseError', 'VM has devices assigned to other VMs');
  volumes.removeImages(store, qube);
  store.qubes.delete(qube.name);
}
