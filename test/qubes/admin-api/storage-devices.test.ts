import { expect, it } from 'vitest';

import { parseLsblk } from '../../../dom0-agent/qubes/admin-api/inspect-dom0.ts';
import { FailedError } from '../../../shared/errors.ts';

const device = (fields: object) => ({
  path: '/dev/sda',
  mountpoints: [null],
  label: null,
  size: 1000,
  fsavail: null,
  rm: false,
  hotplug: false,
  ...fields,
});
const listed = (...devices: object[]) => parseLsblk(JSON.stringify({ blockdevices: devices }));

it('parseLsblk lists removable devices that are mounted', () => {
  const partition = device({
    path: '/dev/sdb1',
    mountpoints: ['/run/media/user/stick'],
    label: 'stick',
    fsavail: '900',
    rm: true,
  });
  const fixed = device({ mountpoints: ['/', '[SWAP]'] });
  expect(listed(fixed, device({ rm: true, children: [partition] }))).toEqual([
    {
      device: '/dev/sdb1',
      mountPoint: '/run/media/user/stick',
      label: 'stick',
      size: 1000,
      free: 900,
    },
  ]);
});

it('parseLsblk finds an encrypted volume on a removable device', () => {
  const opened = device({ path: '/dev/mapper/luks-1', mountpoints: ['/mnt/safe'] });
  const found = listed(device({ hotplug: true, children: [opened] }));
  expect(found.map(({ mountPoint }) => mountPoint)).toEqual(['/mnt/safe']);
});

it('parseLsblk refuses any other output', () => {
  expect(() => parseLsblk('no JSON')).toThrow(FailedError);
  expect(() => parseLsblk('[]')).toThrow(FailedError);
});
