import type { Machine } from './methods.ts';
import { InnerFailure, Refusal } from './refusal.ts';
import type { Store, StoredQube } from './store.ts';

/** `admin.vm.device.<class>.Available` */
export function available(machine: Machine, qube: StoredQube, deviceClass: string): string {
  if (qube.klass === 'AdminVM' && machine.deviceClasses.get(deviceClass) === false) {
    throw new InnerFailure();
  }
  return deviceClass === 'block' ? (machine.blockDevices.get(qube.name) ?? '') : '';
}

/** `admin.vm.device.<class>.Assigned` */
export function assigned(qube: StoredQube, deviceClass: string): string {
  const list = [...(qube.devices.get(deviceClass) ?? [])].sort();
  return list.map(([place, fields]) => `${place} ${fields}\n`).join('');
}

/** `admin.vm.device.<class>.Assign` */
export function assign(
  store: Store,
  qube: StoredQube,
  deviceClass: string,
  place: string,
  payload: string,
): string {
  const [, backend = '', port = '', identity = '*'] =
    /^([^+]+)\+([^:]+)(?::(.*))?$/.exec(place) ?? [];
  if (!store.qubes.has(backend)) throw new InnerFailure();
  const known = qube.devices.get(deviceClass) ?? new Map<string, string>();
  if (known.has(place)) {
    throw new Refusal(
      'DeviceAlreadyAssigned',
      `'${deviceClass} device ${backend}:${port}:${identity} already assigned to ${qube.name}'`,
    );
  }
  if (!/^(\S+='([^']|\\')*'( |$))*$/.test(payload)) {
    throw new Refusal('ProtocolError', 'Invalid chars in property name');
  }
  const given = new Map(
    Array.from(payload.matchAll(/(\S+?)='((?:\\'|[^'])*)'/g), ([, key = '', value = '']) => [
      key,
      value,
    ]),
  );
  const fields = new Map([
    ['device_id', given.get('device_id') ?? identity],
    ['port_id', port],
    ['devclass', deviceClass],
    ['backend_domain', backend],
    ['mode', given.get('mode') ?? 'manual'],
    ['frontend_domain', given.get('frontend_domain') ?? qube.name],
    ...[...given].filter(([key]) => key.startsWith('_')),
  ]);
  known.set(place, Array.from(fields, ([key, value]) => `${key}='${value}'`).join(' '));
  qube.devices.set(deviceClass, known);
  return '';
}
