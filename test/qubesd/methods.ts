import { create, existing, remove } from './creation.ts';
import { assign, assigned, available } from './devices.ts';
import {
  allProperties,
  property,
  resetProperty,
  setProperty,
  systemProperties,
} from './properties.ts';
import { InnerFailure, refuse } from './refusal.ts';
import type { Store, StoredQube } from './store.ts';
import * as volumes from './volumes.ts';

/** Parts of the answers that depend on the machine, not on the store. */
export interface Machine {
  readonly poolSize: number;
  poolUsage: number;
  /** Of a thin pool. */
  poolMetadata?: undefined | { readonly size: number; readonly usage: number };
  /** The ids of the VMs to be created next; afterwards they are random. */
  readonly uuids: string[];
  /** Classes of devices, and whether asking dom0 for them works. */
  readonly deviceClasses: ReadonlyMap<string, boolean>;
  /** `sys-usb` and so on: the lines of `admin.vm.device.block.Available`. */
  readonly blockDevices: Map<string, string>;
  /** The kernels in the pool `linux-kernel`; if undefined, the question is refused. */
  kernels?: undefined | readonly string[];
  /** By VM, the lines of `admin.vm.device.block.Attached`. */
  readonly attachedDevices: Map<string, string>;
}

export interface Call {
  readonly method: string;
  readonly arg: string;
  readonly dest: string;
  readonly payload: string;
}

const CLASSES = ['AdminVM', 'AppVM', 'DispVM', 'RemoteVM', 'StandaloneVM', 'TemplateVM'];

/** The data of the reply. Throws Refusal for an exception, and InnerFailure if there is no reply. */
export function answer(store: Store, machine: Machine, call: Call): string {
  const { method, arg, payload } = call;
  const qube = existing(store, call.dest);
  const device = /^admin\.vm\.device\.(\w+)\.(\w+)$/.exec(method);
  const creation = /^admin\.vm\.Create(InPool)?\.(\w+)$/.exec(method);
  if (device?.[1] !== undefined && machine.deviceClasses.has(device[1])) {
    if (device[2] === 'Available') return available(machine, qube, device[1]);
    if (device[2] === 'Attached') return machine.attachedDevices.get(qube.name) ?? '';
    if (device[2] === 'Assigned') return assigned(qube, device[1]);
    if (device[2] === 'Assign') return assign(store, qube, device[1], arg, payload);
  }
  if (creation?.[2] !== undefined) {
    return create(store, machine, creation[2], creation[1] !== undefined, call);
  }
  switch (method) {
    case 'admin.vm.List':
      return listing(qube.name === 'dom0' ? [...store.qubes.values()] : [qube]);
    case 'admin.vmclass.List':
      return lines(CLASSES);
    case 'admin.label.List':
      return lines([...store.labels.keys()]);
    case 'admin.label.Get':
      return (
        store.labels.get(arg) ?? refuse('QubesLabelNotFoundError', `Label does not exist: ${arg}`)
      );
    case 'admin.deviceclass.List':
      return lines([...machine.deviceClasses.keys()]);
    case 'admin.property.GetAll':
      return systemProperties(store);
    case 'admin.pool.List':
      return lines([...store.pools.keys()]);
    case 'admin.pool.Info':
      return poolInfo(store, machine, arg);
    case 'admin.pool.volume.List':
      if (machine.kernels === undefined) return refuse('PermissionDenied', 'not allowed');
      return lines(arg === 'linux-kernel' ? machine.kernels : []);
    case 'admin.pool.UsageDetails':
      return usageDetails(store, machine, arg);
    case 'admin.vm.property.GetAll':
      return allProperties(store, qube);
    case 'admin.vm.property.Get':
      return property(store, qube, arg);
    case 'admin.vm.property.Set':
      return done(() => setProperty(store, qube, arg, payload));
    case 'admin.vm.property.Reset':
      return done(() => resetProperty(qube, arg));
    case 'admin.vm.feature.List':
      return lines([...qube.features.keys()]);
    case 'admin.vm.feature.Get':
      return (
        qube.features.get(arg) ??
        refuse('QubesFeatureNotFoundError', `Feature not set for domain ${qube.name}: ${arg}`)
      );
    case 'admin.vm.feature.Set':
      return done(() => qube.features.set(checkedFeature(arg, payload), payload));
    case 'admin.vm.feature.Remove':
      if (qube.features.delete(arg)) return '';
      return refuse('QubesFeatureNotFoundError', `Feature not set for domain ${qube.name}: ${arg}`);
    case 'admin.vm.tag.List':
      return lines([...qube.tags].sort());
    case 'admin.vm.tag.Set':
      if (arg.startsWith('created-by-')) throw new InnerFailure();
      if (!/^[\w-]+$/.test(arg)) return refuse('QubesInvalidTagError', 'disallowed characters');
      return done(() => qube.tags.add(arg));
    case 'admin.vm.tag.Remove':
      if (qube.tags.delete(arg)) return '';
      return refuse('QubesTagNotFoundError', `Tag not set for domain ${qube.name}: ${arg}`);
    case 'admin.vm.CurrentState':
      if (qube.klass === 'AdminVM') throw new InnerFailure();
      return `mem=0 mem_static_max=0 cputime=0 power_state=${qube.state}`;
    case 'admin.vm.firewall.Get':
      return qube.firewall;
    case 'admin.vm.firewall.Set':
      return done(() => (qube.firewall = checkedRules(payload)));
    case 'admin.vm.notes.Get':
      return qube.notes;
    case 'admin.vm.notes.Set':
      if (payload === '') return refuse('ProtocolError', 'expected payload');
      return done(() => (qube.notes = payload));
    case 'admin.vm.volume.List':
      return lines([...qube.volumes.keys()]);
    case 'admin.vm.volume.Info':
      return volumes.info(store, qube, arg);
    case 'admin.vm.volume.Set.revisions_to_keep':
      return done(() => volumes.setRevisions(qube, arg, payload));
    case 'admin.vm.volume.Set.ephemeral':
      return done(() => volumes.setEphemeral(qube, arg, payload));
    case 'admin.vm.volume.Resize':
      return volumes.resize(qube, arg, payload);
    case 'internal.vm.volume.ImportBegin':
      return volumes.importBegin(store, qube, arg, payload);
    case 'internal.vm.volume.ImportEnd':
      return volumes.importEnd(store, qube, arg, payload);
    case 'admin.vm.Start':
      if (qube.state !== 'Halted') {
        return refuse('QubesVMNotHaltedError', `Domain is not powered off: '${qube.name}'`);
      }
      // qubes/ext/backup_restore.py of qubes-core-admin
      if (qube.tags.has('backup-restore-in-progress')) {
        return refuse('QubesVMError', 'Restore of this domain in progress, cannot start');
      }
      return done(() => (qube.state = 'Running'));
    case 'admin.vm.Remove':
      return done(() => remove(store, qube));
    default:
      return refuse('ProtocolError', `no such method: '${method}'`);
  }
}

const lines = (words: readonly string[]): string => words.map((word) => `${word}\n`).join('');

function done(change: () => unknown): string {
  change();
  return '';
}

/** dom0 first, then by name. */
function listing(qubes: readonly StoredQube[]): string {
  const key = ({ name }: StoredQube) => (name === 'dom0' ? '' : name);
  const sorted = [...qubes].sort((one, other) => (key(one) < key(other) ? -1 : 1));
  return lines(
    sorted.map(
      ({ name, klass, state, uuid }) => `${name} class=${klass} state=${state} uuid=${uuid}`,
    ),
  );
}

function poolInfo(store: Store, machine: Machine, name: string): string {
  const pool = store.pools.get(name) ?? refuse('PermissionDenied', "Argument not in 'pools'");
  const settings = [...pool].sort(([one], [other]) => (one < other ? -1 : 1));
  const isKernels = pool.get('driver') === 'linux-kernel';
  const space = isKernels
    ? [['included_in', store.properties.get('default_pool') ?? '']]
    : [
        ['size', machine.poolSize],
        ['usage', machine.poolUsage],
      ];
  return lines([...settings, ...space].map(([key, value]) => `${key}=${value}`));
}

/** As in qubes/storage of qubes-core-admin for pools in files; thin pools also have fields for their metadata. */
function usageDetails(store: Store, machine: Machine, name: string): string {
  if (!store.pools.has(name)) return refuse('PermissionDenied', "Argument not in 'pools'");
  const details = [
    `data_size=${machine.poolSize}`,
    `data_usage=${machine.poolUsage}`,
    ...(machine.poolMetadata === undefined
      ? []
      : [
          `metadata_size=${machine.poolMetadata.size}`,
          `metadata_usage=${machine.poolMetadata.usage}`,
        ]),
  ];
  return lines(details);
}

function checkedFeature(name: string, value: string): string {
  if (/[^\0-\x7f]/.test(value)) {
    return refuse('ProtocolError', 'Feature value contains non-ASCII characters');
  }
  if (!/^[a-zA-Z0-9_.-]+$/.test(name)) {
    return refuse('ProtocolError', 'feature name contains illegal characters');
  }
  if (!/^[ -~]*$/.test(value)) {
    return refuse('ProtocolError', `${name} value contains illegal characters`);
  }
  return name;
}

function checkedRules(payload: string): string {
  const isRule = (line: string) => /^action=(accept|drop)( \w+=.*)?$/.test(line);
  if (!payload.split('\n').slice(0, -1).every(isRule)) throw new InnerFailure();
  return payload;
}
