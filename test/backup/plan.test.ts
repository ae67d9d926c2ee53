import { describe, expect, it } from 'vitest';

import { type BackupChoices, type Inventory, planBackup } from '../../dom0-agent/backup/plan.ts';
import type { Qube, Volume } from '../../dom0-agent/qubes/qube.ts';
import { RefusedError, UsageError } from '../../shared/errors.ts';
import { qube } from '../restore/planning.ts';

const volume = (name: string, saveOnStop: boolean): Volume => ({
  ...{ name, saveOnStop, size: 2000, usage: 1000, pool: 'pool', vid: `x/${name}` },
});
const dom0 = qube('dom0', {}, { qubeClass: 'AdminVM', qid: 0 });
const work = qube(
  'work',
  {},
  { qid: 7, volumes: [volume('root', false), volume('private', true)] },
);
const hidden = qube('hidden', { include_in_backups: 'False' }, { qid: 3 });
const passing = qube('disp1', { auto_cleanup: 'True' }, { qid: 4, qubeClass: 'DispVM' });
const kept = qube('disp2', {}, { qid: 5, qubeClass: 'DispVM' });

function plan(
  qubes: readonly Qube[],
  choices: Partial<BackupChoices> = {},
  running: readonly string[] = [],
): ReturnType<typeof planBackup> {
  const inventory: Inventory = {
    qubes,
    running: new Set(running),
    dom0Home: { user: 'user', path: '/home/user' },
  };
  return planBackup(inventory, { chosen: [], excluded: [], includeRunning: false, ...choices });
}

const all = [dom0, work, hidden, passing, kept];
const namesOf = (of: ReturnType<typeof planBackup>): string[] => of.qubes.map((q) => q.qube.name);

describe('the plan of a backup', () => {
  it('holds by default what belongs in backups, in the order of the numbers', () => {
    const planned = plan(all);
    expect(namesOf(planned)).toEqual(['disp2', 'work']);
    expect(planned.dom0Home?.user).toBe('user');
    expect(planned.qubes[1]).toMatchObject({ directory: 'vm7', volumes: [{ name: 'private' }] });
  });

  it('holds what is chosen, asked for or not by default', () => {
    expect(namesOf(plan(all, { chosen: ['hidden', 'disp1'] }))).toEqual(['hidden', 'disp1']);
    expect(plan(all, { chosen: ['hidden'] }).dom0Home).toBeUndefined();
    expect(plan(all, { chosen: ['dom0'] })).toMatchObject({
      qubes: [],
      dom0Home: { user: 'user' },
    });
    expect(namesOf(plan(all, { excluded: ['work'] }))).toEqual(['disp2']);
    expect(plan(all, { excluded: ['dom0'] }).dom0Home).toBeUndefined();
  });

  it('is refused for names that mean nothing, or when nothing is left', () => {
    expect(() => plan(all, { chosen: ['nosuch'] })).toThrow(/no VM called nosuch/);
    expect(() => plan(all, { excluded: ['nosuch'] })).toThrow(RefusedError);
    expect(() => plan(all, { chosen: ['work', 'work'] })).toThrow(UsageError);
    expect(() => plan(all, { chosen: ['work'], excluded: ['work'] })).toThrow(/nothing to back up/);
    expect(() => plan([work])).toThrow(/has no dom0/);
  });

  it('names the VMs that run, and refuses them unless asked', () => {
    const running = ['dom0', 'work', 'hidden'];
    expect(() => plan(all, {}, running)).toThrow(/^work is running: shut it down/);
    expect(() => plan(all, { chosen: ['work', 'hidden'] }, running)).toThrow(
      /^hidden, work are running: shut them down.*--include-running/,
    );
    const planned = plan(all, { includeRunning: true }, running);
    expect(planned.qubes.map((each) => each.running)).toEqual([false, true]);
  });
});
