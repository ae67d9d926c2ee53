import { readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import {
  RESTORE_MARK,
  RESTORE_IN_PROGRESS,
  formatRestoreMark,
} from '../../dom0-agent/qubes/restore-mark.ts';
import { newOwnerName } from '../../dom0-agent/qubes/owner-names.ts';
import { CofferRun } from './coffer-run.ts';
import { World } from './world.ts';

/** The name of a process that does not exist: process 1 did not start at the first clock tick. */
const GONE = 'coffer.1.1.0123abcd';

let world: World;
beforeAll(async () => {
  world = await World.make('folder');
  expect((await run('backup')).ending).toBe(0);
  const [file = ''] = readdirSync(world.backups);
  renameSync(join(world.backups, file), world.master);
});
afterAll(() => world[Symbol.asyncDispose]());

async function run(job: 'backup' | 'restore'): Promise<{ ending: unknown; said: string }> {
  const coffer = new CofferRun(world.command(job), world.directory, 0);
  return { ending: await coffer.ended, said: coffer.said };
}

async function createMarked(name: string, owner: string): Promise<void> {
  const system = await openFolderSystem(world.system);
  const common = { qubeClass: 'AppVM', label: 'red', template: 'debian', pool: undefined } as const;
  await system.create({
    ...common,
    name,
    tags: new Set([RESTORE_IN_PROGRESS]),
    features: new Map([[RESTORE_MARK, formatRestoreMark(name, owner)]]),
  });
}

async function names(): Promise<string[]> {
  const qubes = await (await openFolderSystem(world.system)).qubes();
  return qubes.map(({ name }) => name);
}

describe('a VM that a killed coffer has restored only in part', () => {
  it('is removed and reported by the next restore, unless that coffer still runs', async () => {
    await createMarked('work-1', GONE);
    await createMarked('other', GONE);
    await createMarked('underway', await newOwnerName());
    const { ending, said } = await run('restore');
    expect(ending).toBe(0);
    expect(said).toContain('work-1 will be removed: it was left incomplete');
    expect(said).toContain('other was removed');
    expect(await names()).toEqual([
      'dom0',
      'debian',
      'usb',
      'work',
      'vault',
      'underway',
      'work-1',
      'vault-1',
    ]);
  });

  it('is restored completely by that restore, and no longer marked', async () => {
    const qubes = await (await openFolderSystem(world.system)).qubes();
    const marked = qubes.filter(({ features }) => features.has(RESTORE_MARK));
    expect(marked.map(({ name }) => name)).toEqual(['underway']);
  });

  it('is not backed up', async () => {
    const { argv, env } = world.command('backup');
    const chosen = new CofferRun({ argv: [...argv, 'underway'], env }, world.directory, 0);
    expect(await chosen.ended).toBe(5);
    expect(chosen.said).toContain('underway was restored only in part');
  });
});
