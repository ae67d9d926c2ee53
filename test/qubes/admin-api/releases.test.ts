import { expect, it } from 'vitest';

import { openQubesdSystem } from '../../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import { RefusedError } from '../../../shared/errors.ts';
import { makeScene } from '../../qubesd/scene.ts';

it('the system works with R4.2, and refuses what that does not have', async () => {
  await using scene = await makeScene();
  const { qubesd } = scene;
  qubesd.fault = ({ method, dest }) => {
    if (method === 'admin.vm.device.pci.List' && dest === 'work') {
      return { kind: 'answer', data: 'dom0+00_14.0 no-strict-reset=True persistent=yes\n' };
    }
    if (/^admin\.vm\.device\.\w+\.(List|Attach)$/.test(method)) return { kind: 'answer', data: '' };
    // R4.2 does not answer calls that it does not know.
    return /notes|Assign/.test(method) ? { kind: 'nothing' } : undefined;
  };
  const system = openQubesdSystem({ socketPath: qubesd.socketPath });
  const work = (await system.qubes()).find(({ name }) => name === 'work');
  expect(work?.devices.map(({ port }) => port)).toEqual(['00_14.0']);
  expect(await system.notes('work')).toBe('');
  for (const device of work?.devices ?? []) await system.assignDevice('dev-box', device);
  expect(qubesd.calls.at(-1)).toEqual({
    method: 'admin.vm.device.pci.Attach',
    arg: 'dom0+00_14.0',
    dest: 'dev-box',
    payload: 'persistent=True no-strict-reset=True',
  });

  const device = { deviceClass: 'block', backend: 'sys-net', port: 'sda', fields: new Map() };
  const calls = qubesd.calls.length;
  await expect(system.setNotes('work', 'mine')).rejects.toThrow('Qubes R4.2 keeps no notes');
  for (const beyond of [
    { ...device, fields: new Map([['mode', 'ask-to-attach']]) },
    { ...device, port: '*' },
    { ...device, deviceClass: 'pci', port: '00_1c.0-00_00.0' },
  ]) {
    await expect(system.assignDevice('work', beyond)).rejects.toThrow(RefusedError);
  }
  expect(qubesd.calls.length).toBe(calls);
});

it('the system works with R4.3, which leaves out unknown values', async () => {
  await using scene = await makeScene();
  const { qubesd } = scene;
  qubesd.fault = ({ method }) =>
    /^admin\.vm\.device\.\w+\.List$/.test(method) ? { kind: 'nothing' } : undefined;
  const system = openQubesdSystem({ socketPath: qubesd.socketPath });
  await system.assignDevice('work', {
    deviceClass: 'pci',
    backend: 'dom0',
    port: '00_14.0',
    fields: new Map(),
  });
  const work = (await system.qubes()).find(({ name }) => name === 'work');
  expect(work?.devices.map(({ port }) => port)).toEqual(['00_14.0']);
  expect(await system.notes('work')).toBe('quarterly reports\nlive here\n');
});
