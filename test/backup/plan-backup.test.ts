import { describe, expect, it } from 'vitest';

import {
  type BackupChoices,
  expectedBytes,
  planBackup,
} from '../../dom0-agent/backup/plan-backup.ts';
import { type BackupSources } from '../../dom0-agent/backup/backup-sources.ts';
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
const disposable = qube('disp1', { auto_cleanup: 'True' }, { qid: 4, qubeClass: 'DispVM' });
const namedDisposable = qube('disp2', {}, { qid: 5, qubeClass: 'DispVM' });

function plan(
  qubes: readonly Qube[],
  choices: Partial<BackupChoices> = {},
  running: readonly string[] = [],
  unreadable: ReadonlyMap<string, string> = new Map(),
): ReturnType<typeof planBackup> {
  const inventory: BackupSources = {
    qubes,
    listed: [{ name: 'far', className: 'RemoteVM', isRunning: true }],
    running: new Set(running),
    uncommitted: new Set(),
    unreadable,
    dom0Home: { user: 'user', path: '/home/user' },
  };
  return planBackup(inventory, {
    chosen: [],
    excluded: [],
    excludedIfThere: [],
    running: 'include',
    ...choices,
  });
}

const FAR = { name: 'far', why: 'a RemoteVM' };
const all = [dom0, work, hidden, disposable, namedDisposable];
const namesOf = (of: ReturnType<typeof planBackup>): string[] => of.qubes.map((q) => q.qube.name);

describe('the plan of a backup', () => {
  it('contains by default the VMs with include_in_backups, ordered by qid', () => {
    const planned = plan(all);
    expect(namesOf(planned)).toEqual(['disp2', 'work']);
    expect(planned.dom0Home?.user).toBe('user');
    expect(planned.qubes[1]).toMatchObject({ directory: 'vm7', volumes: [{ name: 'private' }] });
  });

  it('contains the chosen VMs, also those that are not included by default, without the excluded ones', () => {
    expect(namesOf(plan(all, { chosen: ['hidden', 'disp1'] }))).toEqual(['hidden', 'disp1']);
    expect(plan(all, { chosen: ['hidden'] }).dom0Home).toBeUndefined();
    expect(plan(all, { chosen: ['dom0'] })).toMatchObject({
      qubes: [],
      dom0Home: { user: 'user' },
    });
    expect(namesOf(plan(all, { excluded: ['work'] }))).toEqual(['disp2']);
    expect(plan(all, { excluded: ['dom0'] }).dom0Home).toBeUndefined();
  });

  it('is refused for unknown names, or if nothing is left', () => {
    expect(() => plan(all, { chosen: ['nosuch'] })).toThrow(/no VM called nosuch/);
    expect(() => plan(all, { excluded: ['nosuch'] })).toThrow(RefusedError);
    expect(() => plan(all, { chosen: ['work', 'work'] })).toThrow(UsageError);
    expect(() => plan(all, { chosen: ['work'], excluded: ['work'] })).toThrow(/nothing to back up/);
    expect(() => plan([work])).toThrow(/has no dom0/);
  });

  it('is refused for a RemoteVM, which can be left out', () => {
    expect(() => plan(all, { chosen: ['far'] })).toThrow(
      /^far cannot be backed up: it is a RemoteVM, which lives on another machine$/,
    );
    expect(namesOf(plan(all, { excluded: ['far'] }))).toEqual(['disp2', 'work']);
  });

  it('counts the used size of a volume, or its size if that is unknown', () => {
    const of = (usage: number | undefined) => expectedBytes({ ...volume('root', true), usage });
    expect([of(undefined), of(0), of(1000)]).toEqual([2000, 0, 1000]);
  });

  it('suggests the name that was probably meant when a name is unknown', () => {
    expect(() => plan(all, { chosen: ['wrok'] })).toThrow(/called wrok .*; did you mean work\?$/);
    expect(() => plan(all, { excluded: ['Work'] })).toThrow(/did you mean work\?$/);
    expect(() => plan(all, { chosen: ['personal'] })).toThrow(/called personal on this system$/);
  });

  it('names what it leaves out, and why', () => {
    expect(plan(all, { excluded: ['disp2'] }).leftOut).toEqual([
      { name: 'hidden', why: 'include_in_backups is off' },
      { name: 'disp1', why: 'a disposable' },
      { name: 'disp2', why: 'left out as requested' },
      FAR,
    ]);
    expect(plan(all, { chosen: ['work', 'dom0'] }).leftOut).toEqual([
      ...['hidden', 'disp1', 'disp2'].map((name) => ({ name, why: '' })),
      FAR,
    ]);
  });

  it('ignores VMs in `excludedIfThere` that do not exist', () => {
    const planned = plan(all, { excludedIfThere: ['removed', 'work'] });
    expect(planned.gone).toEqual(['removed']);
    expect(namesOf(planned)).toEqual(['disp2']);
    expect(planned.leftOut).toContainEqual({ name: 'work', why: 'left out as requested' });
  });

  it('includes running VMs and marks them, skips them, or is refused for them', () => {
    const running = ['dom0', 'work', 'hidden'];
    const included = plan(all, {}, running);
    expect(included.qubes.map((each) => each.running)).toEqual([false, true]);

    const skipped = plan(all, { running: 'skip' }, running);
    expect(namesOf(skipped)).toEqual(['disp2']);
    expect(skipped.leftOut[0]).toEqual({ name: 'work', why: 'running' });
    expect(() => plan(all, { running: 'skip', chosen: ['work'] }, running)).toThrow(
      /nothing to back up.*running/,
    );

    expect(() => plan(all, { running: 'refuse' }, running)).toThrow(
      /^work is running: shut it down.* or back up its last saved state/,
    );
    expect(() => plan(all, { running: 'refuse', chosen: ['work', 'hidden'] }, running)).toThrow(
      /^hidden, work are running: shut them down.*--running skip.*--running include/,
    );
  });

  it('is refused for a VM that cannot be read, unless it is left out', () => {
    const unreadable = new Map([['work', 'its pool is of a strange kind']]);
    expect(() => plan(all, {}, [], unreadable)).toThrow(
      /^work cannot be backed up: its pool is of a strange kind; leave it out with -x work$/,
    );
    expect(() => plan(all, {}, ['work'], unreadable)).toThrow(
      /^work cannot be backed up while it is running: .*; shut it down, or leave it out with -x/,
    );
    expect(namesOf(plan(all, { excluded: ['work'] }, ['work'], unreadable))).toEqual(['disp2']);
    expect(namesOf(plan(all, { running: 'skip' }, ['work'], unreadable))).toEqual(['disp2']);
  });
});
