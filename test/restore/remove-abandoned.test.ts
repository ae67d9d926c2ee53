import { expect, it } from 'vitest';

import {
  RESTORE_MARK,
  RESTORE_IN_PROGRESS,
  formatRestoreMark,
} from '../../dom0-agent/qubes/restore-mark.ts';
import type { Qube } from '../../dom0-agent/qubes/qube.ts';
import { openQubesdSystem } from '../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import type { QubesSystem } from '../../dom0-agent/qubes/system.ts';
import { newOwnerName } from '../../dom0-agent/qubes/owner-names.ts';
import { abandonedQubes, removeAbandoned } from '../../dom0-agent/restore/remove-abandoned.ts';
import { makeScene } from '../qubesd/scene.ts';
import { Warnings } from './restoring-system.ts';

/** A process that does not exist: process 1 did not start at tick 1. */
const GONE = 'coffer.1.1.0123abcd';

/** Creates what a killed restore leaves: `user` has a device of `usb`, which was created later. */
async function leaveHalf(system: QubesSystem): Promise<Qube[]> {
  const make = (name: string, template: string | undefined): Promise<void> =>
    system.create({
      ...{ name, template, label: 'red', pool: undefined },
      qubeClass: template === undefined ? 'TemplateVM' : 'AppVM',
      tags: new Set([RESTORE_IN_PROGRESS]),
      features: new Map([[RESTORE_MARK, formatRestoreMark(name, GONE)]]),
    });
  await make('base', undefined);
  await make('user', 'base');
  await make('usb', 'base');
  const fields = new Map([['mode', 'required']]);
  await system.assignDevice('user', { deviceClass: 'block', backend: 'usb', port: 'sda', fields });
  await system.setProperty('usb', 'provides_network', 'True');
  await system.setProperty('user', 'netvm', 'usb');
  return (await system.qubes()).filter(({ features }) => features.has(RESTORE_MARK));
}

async function removedBy(
  system: QubesSystem,
  half: readonly Qube[],
): Promise<{ warnings: string[]; names: string[] }> {
  const report = new Warnings();
  await removeAbandoned(half, system, report);
  return { warnings: report.texts, names: (await system.qubes()).map(({ name }) => name) };
}

it('VMs that were restored only in part are removed, even if one has a device of a later one', async () => {
  await using scene = await makeScene();
  const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath });
  const half = await leaveHalf(system);
  expect(half).toHaveLength(3);
  const { warnings, names } = await removedBy(system, half);
  expect(warnings).toEqual([]);
  for (const { name } of half) expect(names).not.toContain(name);
});

it('an abandoned VM that cannot be removed gives a warning, but not one that is already removed', async () => {
  await using scene = await makeScene();
  const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath });
  const half = await leaveHalf(system);
  scene.qubesd.store.qubes.delete('user');
  const usb = scene.qubesd.store.qubes.get('usb');
  if (usb) usb.state = 'Running';
  const { warnings, names } = await removedBy(system, half);
  expect(names).not.toContain('user');
  expect(warnings.map((text) => text.split(',')[0])).toEqual(['usb', 'base']);
});

it.each([
  [
    'has lost its mark, and so is complete',
    (system: QubesSystem) => system.removeFeature('user', RESTORE_MARK),
  ],
  [
    'has lost its tag, and so can be started',
    (system: QubesSystem) => system.removeTag('user', RESTORE_IN_PROGRESS),
  ],
  [
    'is being restored by another process',
    async (system: QubesSystem) =>
      system.setFeature('user', RESTORE_MARK, formatRestoreMark('user', await newOwnerName())),
  ],
  [
    'is a clone of one that was restored in part',
    (system: QubesSystem) =>
      system.setFeature('user', RESTORE_MARK, formatRestoreMark('base', GONE)),
  ],
])('a VM is not removed if it %s', async (_, change) => {
  await using scene = await makeScene();
  const system = openQubesdSystem({ socketPath: scene.qubesd.socketPath });
  const half = await leaveHalf(system);
  await change(system);
  const { names } = await removedBy(system, half);
  expect(names).toContain('user');
  expect(scene.qubesd.store.qubes.get('user')?.properties.get('netvm')).toBe('usb');
  const listed = (await system.qubes()).filter(({ name }) => name === 'user');
  expect(await abandonedQubes(listed)).toEqual([]);
});
