import { setTimeout as sleep } from 'node:timers/promises';

import { expect, it } from 'vitest';

import { openQubesdSystem } from '../../../dom0-agent/qubes/qubesd/system.ts';
import { SystemGoneError } from '../../../dom0-agent/qubes/system-gone-error.ts';
import type { NewQube } from '../../../dom0-agent/qubes/system.ts';
import type { Qubesd } from '../../qubesd/server.ts';
import { RefusedError } from '../../../shared/errors.ts';
import { makeScene } from '../../qubesd/scene.ts';

const COPY: NewQube = {
  name: 'copy',
  qubeClass: 'AppVM',
  label: 'red',
  template: 'fedora-42-xfce',
  pool: undefined,
};

/** qubesd stops as it has done the first such call, before it can say so, and starts again. */
function stopAfter(
  qubesd: Qubesd,
  method: string,
  outage: number,
  afterwards: Qubesd['fault'] = () => undefined,
): void {
  qubesd.fault = (call) => {
    if (call.method !== method) return undefined;
    qubesd.fault = afterwards;
    void qubesd
      .stop()
      .then(() => sleep(outage))
      .then(() => qubesd.start());
    return undefined;
  };
}

it('knows what was done already when the answer was lost', async () => {
  await using scene = await makeScene();
  const { qubesd } = scene;
  const told: string[] = [];
  const system = openQubesdSystem({
    socketPath: qubesd.socketPath,
    onWait: (text) => told.push(text),
  });
  await system.labels();
  stopAfter(qubesd, 'admin.vm.Create.AppVM', 300);
  await system.create(COPY);
  stopAfter(qubesd, 'admin.vm.device.pci.Assign', 300);
  const fields = new Map([['mode', 'required']]);
  await system.assignDevice('copy', { deviceClass: 'pci', backend: 'dom0', port: '00_1', fields });
  expect(qubesd.store.qubes.get('copy')?.devices.get('pci')?.size).toBe(1);
  stopAfter(qubesd, 'admin.vm.Remove', 300);
  await system.remove('copy');
  expect(qubesd.store.qubes.has('copy')).toBe(false);
  expect(told).toEqual(Array(3).fill('qubesd went away: waiting for it to come back'));
});

it('knows the words in which R4.3 says that a VM is there already', async () => {
  await using scene = await makeScene();
  const { qubesd } = scene;
  const system = openQubesdSystem({ socketPath: qubesd.socketPath });
  const taken = { type: 'QubesValueError', message: 'VM copy already exists' };
  const asR43: Qubesd['fault'] = ({ method }) =>
    method.includes('Create') && qubesd.store.qubes.has('copy')
      ? { kind: 'exception', ...taken }
      : undefined;
  await system.labels();
  stopAfter(qubesd, 'admin.vm.Create.AppVM', 300, asR43);
  await system.create(COPY);
  await expect(system.create(COPY)).rejects.toThrow(RefusedError);
  stopAfter(qubesd, 'admin.vm.feature.Remove', 300);
  await system.setFeature('copy', 'mark', '1');
  await system.removeFeature('copy', 'mark');
  expect(qubesd.store.qubes.get('copy')?.features.has('mark')).toBe(false);
});

it('does not take a VM of somebody else’s for its own', async () => {
  await using scene = await makeScene();
  const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath });
  await expect(system.create({ ...COPY, name: 'work' })).rejects.toThrow(/exists already/);
});

it('takes a refusal without words for one', async () => {
  await using scene = await makeScene();
  const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath });
  await expect(system.setTag('work', 'created-by-me')).rejects.toThrow(/gave no answer/);
});

it('gives up when qubesd does not come back, and then at once', async () => {
  await using scene = await makeScene();
  const { socketPath } = scene.qubesd;
  const system = openQubesdSystem({ socketPath, comeback: 300 });
  const never = openQubesdSystem({ socketPath, comeback: 60_000 });
  await system.labels();
  await scene.qubesd.stop();
  await expect(system.labels()).rejects.toThrow(SystemGoneError);
  const begun = performance.now();
  await expect(system.remove('work')).rejects.toThrow(/qubesd is not running/);
  await expect(never.labels()).rejects.toThrow(/qubesd is not running/);
  expect(performance.now() - begun).toBeLessThan(250);
  await scene.qubesd.start();
  expect(await system.labels()).toContain('red');
});
