import type { Element } from '@xmldom/xmldom';

import { DamagedError } from '../../../shared/errors.ts';
import type { DeviceAssignment } from '../qube.ts';
import { attributeOf, childrenOf, elementText } from './strict-xml.ts';
import { element, type NewElement } from './write-xml.ts';

/**
 * How qubes.xml stores device assignments (LocalVM.__xml__ and load_extras in qubes/vm/__init__.py of
 * qubes-core-admin): `<devices class="pci"><device backend-domain= id= mode= identity=>` with
 * `<option name=>` inside. `identity` is the Admin API's `device_id`, and its options begin with `_`.
 * R4.2 wrote no mode, or `required` instead; for R4.3, no mode means required.
 */
export function parseDevices(domain: Element, what: string): DeviceAssignment[] {
  return childrenOf(domain, 'devices').flatMap((group) => {
    const deviceClass = attributeOf(group, 'class', what);
    return childrenOf(group, 'device').map((device) => ({
      deviceClass,
      backend: attributeOf(device, 'backend-domain', what),
      port: attributeOf(device, 'id', what),
      fields: fieldsOf(device, what),
    }));
  });
}

/** The inverse of `parseDevices`: an element for each class of devices. */
export function formatDevices(devices: readonly DeviceAssignment[]): NewElement[] {
  const classes = new Set(devices.map(({ deviceClass }) => deviceClass));
  return Array.from(classes, (deviceClass) =>
    element(
      'devices',
      [['class', deviceClass]],
      devices.filter((device) => device.deviceClass === deviceClass).map(formatDevice),
    ),
  );
}

function fieldsOf(device: Element, what: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const { name, value } of Array.from(device.attributes)) {
    if (name === 'identity') fields.set('device_id', value);
    else if (name === 'required') fields.set('mode', isTrue(value) ? 'required' : 'auto-attach');
    else if (name !== 'backend-domain' && name !== 'id') fields.set(name, value);
  }
  if (!fields.has('mode')) fields.set('mode', 'required');
  for (const option of childrenOf(device, 'option')) {
    const name = attributeOf(option, 'name', what);
    // Written by some versions of R4.3 (load_extras handles it).
    fields.set(name === 'identity' ? 'device_id' : `_${name}`, elementText(option, what));
  }
  return fields;
}

function isTrue(untrustedText: string): boolean {
  const text = untrustedText.toLowerCase();
  if (['1', 'yes', 'true', 'on'].includes(text)) return true;
  if (['0', 'no', 'false', 'off'].includes(text)) return false;
  throw new DamagedError('qubes.xml does not say whether a device is required');
}

function formatDevice({ backend, port, fields }: DeviceAssignment): NewElement {
  const pairs = [...fields];
  const attributes = pairs.filter(([key]) => !key.startsWith('_'));
  const options = pairs.filter(([key]) => key.startsWith('_'));
  return element(
    'device',
    [
      ['backend-domain', backend],
      ['id', port],
      ...attributes.map(([key, value]): [string, string] => [
        key === 'device_id' ? 'identity' : key,
        value,
      ]),
    ],
    options.map(([key, value]) => element('option', [['name', key.slice(1)]], value)),
  );
}
