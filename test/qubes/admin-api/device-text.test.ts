import fc from 'fast-check';
import { expect, it } from 'vitest';

import {
  formatAssignment,
  formatAssignmentForR42,
  formatDeviceFields,
  parseAssignments,
  parseAssignmentsOfR42,
  parseAvailable,
  parseDeviceFields,
} from '../../../dom0-agent/qubes/admin-api/device-text.ts';
import { FailedError } from '../../../shared/errors.ts';

const key = fc.stringMatching(/^[a-z_][a-z0-9_-]{0,8}$/);
// In qubesd's form, a backslash before a quote cannot be told apart from an escaped quote.
const value = fc.stringMatching(/^[\x20-\x7e]*$/).map((text) => text.replaceAll('\\', '/'));

it('the fields of a device are read as they were written', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name }), (fields) => {
      expect([...parseDeviceFields(formatDeviceFields(fields))]).toEqual(fields);
    }),
  );
});

it('the fields of a device of any text are read or refused with a FailedError', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', "'", '=', ' ', '\\', '_') }), (text) => {
      try {
        parseDeviceFields(text);
      } catch (error) {
        expect(error).toBeInstanceOf(FailedError);
      }
    }),
  );
});

it('a value that looks like more fields is read as one', () => {
  expect([...parseDeviceFields("a='it\\'s b=\\'x\\' y' c=''")]).toEqual([
    ['a', "it's b='x' y"],
    ['c', ''],
  ]);
});

// Written by the real qubesd (admin-api-transcript.jsonl).
const LINE =
  "dom0+03_00.0:* device_id='*' port_id='03_00.0' devclass='pci' backend_domain='dom0' " +
  "mode='required' frontend_domain='dev-box'";

it('an assignment that was read can be written for another VM', () => {
  const [device] = parseAssignments('pci', `${LINE} _no-strict-reset='True'\n`);
  expect(device).toEqual({
    deviceClass: 'pci',
    backend: 'dom0',
    port: '03_00.0',
    fields: new Map([
      ['device_id', '*'],
      ['mode', 'required'],
      ['_no-strict-reset', 'True'],
    ]),
  });
  expect(device && formatAssignment('copy', device)).toEqual({
    arg: 'dom0+03_00.0:*',
    payload: `${LINE.slice('dom0+03_00.0:* '.length).replace('dev-box', 'copy')} _no-strict-reset='True'`,
  });
});

it('an assignment in the form of R4.2 can be read and written', () => {
  const reply = 'dom0+00_14.0 no-strict-reset=True persistent=yes\nsys-usb+sda persistent=no\n';
  const [device, ...others] = parseAssignmentsOfR42('pci', reply);
  expect(others).toEqual([]);
  expect(device && formatAssignmentForR42(device)).toEqual({
    arg: 'dom0+00_14.0',
    payload: 'persistent=True no-strict-reset=True',
  });
});

it('the devices that a VM offers are read in the forms of R4.3 and R4.2', () => {
  const reply =
    "sda:b device_id='b' port_id='sda' devclass='block' name='Fast Stick' _size='1024'\n" +
    'sdb size=2048 mode=w description=Slow Stick (sdb)\n';
  const offered = parseAvailable(reply);
  expect(offered.map(({ port }) => port)).toEqual(['sda', 'sdb']);
  expect(offered[0]?.fields.get('name')).toBe('Fast Stick');
  expect(offered[1]?.fields.get('description')).toBe('Slow Stick (sdb)');
});
