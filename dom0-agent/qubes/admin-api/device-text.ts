import { FailedError, RefusedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import type { DeviceAssignment } from '../qube.ts';
import { linesOf } from './replies.ts';

/**
 * How qubesd writes devices: `key='value' key='value' …`, where `'` in a value is `\'`, and a key
 * that begins with `_` is an option (DeviceSerializer in qubes/device_protocol.py of
 * qubes-core-admin, R4.3). R4.2 has options only: `backend+port key=value persistent=yes`.
 */

/** Keys that are not fields of an assignment: the assignment says this elsewhere. */
const OF_THE_DEVICE = new Set(['port_id', 'devclass', 'backend_domain', 'frontend_domain']);

/** A device as `Available` lists it: where it is, and what is known about it. */
export interface ListedDevice {
  readonly port: string;
  readonly fields: ReadonlyMap<string, string>;
}

/** `key='value' key='value'` */
export function parseDeviceFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  // A value ends at an unescaped quote that is followed by the next key or by the end.
  const field = /([^\s=']+)='((?:\\'|[^'])*)'(?= |$)/y;
  for (let rest = text.trimEnd(), at = 0; at < rest.length; at = field.lastIndex + 1) {
    field.lastIndex = at;
    const [, key, value] = field.exec(rest) ?? [];
    if (key === undefined || value === undefined) {
      throw new FailedError('qubesd described a device in a form that coffer does not know');
    }
    fields.set(key, value.replaceAll("\\'", "'"));
  }
  return fields;
}

/** The reverse of `parseDeviceFields`. */
export function formatDeviceFields(fields: Iterable<readonly [string, string]>): string {
  return Array.from(fields, ([key, value]) => {
    if (!/^[^\s=']+$/.test(key) || !/^[\x20-\x7e]*$/.test(value)) {
      throw new FailedError(`a device has a field "${key}" that qubesd does not accept`);
    }
    return `${key}='${value.replaceAll("'", "\\'")}'`;
  }).join(' ');
}

/** The reply of `device.<class>.Assigned`: `backend+port:device_id key='value' …` */
export function parseAssignments(deviceClass: string, reply: string): DeviceAssignment[] {
  return linesOf(reply).map((line) => {
    const [place, rest] = placeAndRest(line);
    const fields = parseDeviceFields(rest);
    const [backend, port] = splitPlace(place);
    return {
      deviceClass,
      backend: fields.get('backend_domain') ?? backend,
      port: fields.get('port_id') ?? port,
      fields: new Map([...fields].filter(([key]) => !OF_THE_DEVICE.has(key))),
    };
  });
}

/** The argument and the payload of `device.<class>.Assign`. */
export function formatAssignment(
  name: string,
  device: DeviceAssignment,
): { readonly arg: string; readonly payload: string } {
  const { device_id: deviceId = '*', ...others } = Object.fromEntries(device.fields);
  return {
    arg: `${device.backend}+${device.port}:${deviceId}`,
    payload: formatDeviceFields([
      ['device_id', deviceId],
      ['port_id', device.port],
      ['devclass', device.deviceClass],
      ['backend_domain', device.backend],
      ...Object.entries({ mode: 'required', frontend_domain: name, ...others }),
    ]),
  };
}

/** The reply of R4.2's `device.<class>.List`, without what is attached only temporarily. */
export function parseAssignmentsOfR42(deviceClass: string, reply: string): DeviceAssignment[] {
  return linesOf(reply).flatMap((line) => {
    const [place, rest] = placeAndRest(line);
    const [backend, port] = splitPlace(place);
    const options = optionsOfR42(rest);
    if (options.get('persistent') !== 'yes') return [];
    options.delete('persistent');
    const fields = new Map([['mode', 'required']]);
    for (const [key, value] of options) fields.set(`_${key}`, value);
    return [{ deviceClass, backend, port, fields }];
  });
}

/**
 * The argument and the payload of R4.2's `device.<class>.Attach`, persistently. Throws RefusedError
 * for what R4.2 cannot express, rather than assign more than was assigned.
 */
export function formatAssignmentForR42(device: DeviceAssignment): {
  readonly arg: string;
  readonly payload: string;
} {
  if ((device.fields.get('mode') ?? 'required') !== 'required') {
    throw new RefusedError('Qubes R4.2 can only assign devices that a VM requires to start');
  }
  // `*` stands for any port, and `00_1c.0-00_00.0` is R4.3's way to a PCI device behind a bridge.
  if (device.port === '*' || (device.deviceClass === 'pci' && device.port.includes('-'))) {
    throw new RefusedError(`Qubes R4.2 has other names for devices than ${device.port}`);
  }
  const options = [...device.fields].filter(([key]) => key.startsWith('_'));
  return {
    arg: `${device.backend}+${device.port}`,
    payload: ['persistent=True', ...options.map(([key, value]) => `${key.slice(1)}=${value}`)].join(
      ' ',
    ),
  };
}

/** The reply of `device.<class>.Available`, of R4.3 (`port:id key='value' …`) and of R4.2. */
export function parseAvailable(reply: string): ListedDevice[] {
  return linesOf(reply).map((line) => {
    const [place, rest] = placeAndRest(line);
    if (!rest.includes("='")) return { port: place, fields: optionsOfR42(rest) };
    const fields = parseDeviceFields(rest);
    return { port: fields.get('port_id') ?? place.split(':')[0] ?? place, fields };
  });
}

/** `key=value key=value`; `description` is the last, and may contain spaces. */
function optionsOfR42(text: string): Map<string, string> {
  const options = new Map<string, string>();
  const described = /(?:^| )description=(.*)$/s.exec(text);
  for (const word of text.slice(0, described?.index).split(' ')) {
    const [, key, value] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
    if (key !== undefined && value !== undefined) options.set(key, value);
  }
  if (described?.[1] !== undefined) options.set('description', described[1]);
  return options;
}

function placeAndRest(line: string): [string, string] {
  const at = line.indexOf(' ');
  return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1)];
}

/** `backend+port` or `backend+port:device_id` */
function splitPlace(place: string): [string, string] {
  const [, backend, port] = /^([^+]+)\+([^:]+)/.exec(place) ?? [];
  if (backend === undefined || port === undefined) {
    throw new FailedError('qubesd described a device in a form that coffer does not know');
  }
  return [backend, port];
}

/** The devices that a VM has now, as `backend+port`: the reply of `device.<class>.Attached`, in R4.2 `.List`. */
export function parseAttached(reply: string): string[] {
  return linesOf(reply).map((line) => {
    const [place] = placeAndRest(line);
    return splitPlace(place).join('+');
  });
}

/** A block device that a VM offers to others. */
export interface OfferedDevice {
  readonly backend: string;
  readonly port: string;
  readonly description: string;
  /** In bytes; undefined if unknown. */
  readonly size: number | undefined;
  /** The VM that it is attached to, if it is attached to one. */
  readonly attachedTo: string | undefined;
}

/** A device as a VM's list of block devices describes it. */
export function describeOffered(
  backend: string,
  port: string,
  fields: ReadonlyMap<string, string>,
  attachedTo?: string,
): OfferedDevice {
  const words = ['vendor', 'product', 'name', 'description'].map((key) => fields.get(key) ?? '');
  const size = Number(fields.get('_size') ?? fields.get('size') ?? NaN);
  return {
    backend,
    port,
    // What a VM says about its devices is only displayed.
    description: printable(words.filter(Boolean).join(' '), 100),
    size: Number.isSafeInteger(size) ? size : undefined,
    attachedTo,
  };
}
