import { setTimeout as sleep } from 'node:timers/promises';

import { expect, it } from 'vitest';

import { openQubesdSystem } from '../../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import { SystemGoneError } from '../../../dom0-agent/qubes/system.ts';
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

/** qubesd stops when it has executed the first call of `method`, before it answers, and starts again. */
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

it('a change whose answer was lost is recognised as made', async () => {
  await using scene = await makeScene();
  const { qubesd } = scene;
  const told: string[] = [];
  const system = openQubesdSystem({
    socketPath: qubesd.socketPath,
    onWait: (text) => told.push(text),
  });
  await system.create(COPY);
  stopAfter(qubesd, 'admin.vm.device.pci.Assign', 300);
  const fields = new Map([['mode', 'required']]);
  await system.assignDevice('copy', { deviceClass: 'pci', backend: 'dom0', port: '00_1', fields });
  expect(qubesd.store.qubes.get('copy')?.devices.get('pci')?.size).toBe(1);
  await system.setFeature('copy', 'mark', '1');
  stopAfter(qubesd, 'admin.vm.feature.Remove', 300);
  await system.removeFeature('copy', 'mark');
  expect(qubesd.store.qubes.get('copy')?.features.has('mark')).toBe(false);
  stopAfter(qubesd, 'admin.vm.Remove', 300);
  await system.remove('copy');
  expect(qubesd.store.qubes.has('copy')).toBe(false);
  expect(told).toEqual(Array(3).fill('qubesd is not answering: waiting for it to come back'));
});

/** What qubesd answers to a creation if the name is taken: newer releases, and R4.2 and R4.3. */
const TAKEN: readonly Qubesd['fault'][] = [
  () => undefined,
  () => ({ kind: 'exception', type: 'QubesValueError', message: 'VM copy already exists' }),
];

it.each(TAKEN)(
  'a VM whose creation was not answered is not assumed to be coffer’s own',
  async (taken) => {
    await using scene = await makeScene();
    const { qubesd } = scene;
    const system = openQubesdSystem({ socketPath: qubesd.socketPath });
    await system.labels();
    stopAfter(qubesd, 'admin.vm.Create.AppVM', 300, (call) =>
      call.method.includes('Create') ? taken(call) : undefined,
    );
    const creating = system.create({ ...COPY, features: new Map([['mark', '1']]) });
    await expect(creating).rejects.toThrow(
      /the connection to qubesd was lost while copy was being created.*cannot tell whether it is its own.*leaves it/,
    );
    const copy = qubesd.store.qubes.get('copy');
    expect(copy?.features.has('mark')).toBe(false);
    // Nor if it is created once more, without a restart.
    await expect(system.create(COPY)).rejects.toThrow(RefusedError);
  },
);

it('a VM is created after a restart of qubesd if the call could not be sent', async () => {
  await using scene = await makeScene();
  const { qubesd } = scene;
  const system = openQubesdSystem({ socketPath: qubesd.socketPath });
  await system.labels();
  await qubesd.stop();
  const creating = system.create(COPY);
  await sleep(300);
  await qubesd.start();
  await creating;
  expect(qubesd.store.qubes.has('copy')).toBe(true);
});

it('a VM of another program is not assumed to be coffer’s own', async () => {
  await using scene = await makeScene();
  const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath });
  await expect(system.create({ ...COPY, name: 'work' })).rejects.toThrow(/already exists/);
});

it('a call without an answer fails and is not retried if qubesd is running', async () => {
  await using scene = await makeScene();
  const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath });
  await expect(system.setTag('work', 'created-by-me')).rejects.toThrow(/gave no answer/);
});

it('a call fails after a timeout if qubesd does not come back, and later calls fail at once', async () => {
  await using scene = await makeScene();
  const { socketPath } = scene.qubesd;
  const waits: string[] = [];
  const onWait = (text: string): number => waits.push(text);
  const system = openQubesdSystem({ socketPath, restartTimeout: 300, onWait });
  const never = openQubesdSystem({ socketPath, restartTimeout: 600_000, onWait });
  await system.labels();
  await scene.qubesd.stop();
  await expect(system.labels()).rejects.toThrow(SystemGoneError);
  expect(waits).toHaveLength(1);
  await expect(system.remove('work')).rejects.toThrow(/qubesd is not running/);
  await expect(never.labels()).rejects.toThrow(/qubesd is not running/);
  expect(waits).toHaveLength(1);
  await scene.qubesd.start();
  expect(await system.labels()).toContain('red');
});
