import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';

import { Dom0, STORAGE_VM } from '../qubesd/dom0.ts';
import { build } from './qubesd-build.ts';

beforeAll(build);

const RECOVER = new URL('../../recover.sh', import.meta.url).pathname;

/** What happens to the VM `work` while its volume, which has no saved state, is read. */
const EVENTS = [
  ['is started', (dom0: Dom0) => dom0.qubesd.store.qubes.get('work'), /work was started while/],
  ['runs for a moment', () => undefined, /the volume private of work was changed while/],
] as const;

/** The volume of `work` changes while it is read; `started` gives the VM if it runs from then on. */
async function withChangingWork(started: (typeof EVENTS)[number][1]): Promise<Dom0> {
  const dom0 = await Dom0.make();
  dom0.volume('work', 'private').revisionsToKeep = '-1';
  const image = dom0.image('work', 'private');
  const past = new Date(Date.now() - 60_000);
  utimesSync(image, past, past);
  let asked = 0;
  dom0.qubesd.fault = ({ method, dest }) => {
    // The first time is when the volume is opened, the second when it has been read.
    if (method !== 'admin.vm.List' || dest !== 'work' || ++asked < 2) return undefined;
    const work = started(dom0);
    if (work !== undefined) work.state = 'Running';
    writeFileSync(image, 'torn', { flag: 'r+' });
    return undefined;
  };
  return dom0;
}

/** Backs up `work`, which changes while it is read, and `dev-box`. */
async function backUpBoth(dom0: Dom0): Promise<string> {
  const run = await dom0.coffer(['backup', '-y', '-d', STORAGE_VM, '.', 'work', 'dev-box']);
  expect(run, run.stderr).toMatchObject({ status: 1 });
  expect(run.stdout).toMatch(/^work .*failed: the volume private of work was changed while/m);
  expect(run.stdout).toMatch(/^dev-box +7\.63 MiB +\d+ KiB *$/m);
  expect(run.stdout).toMatch(/^Not everything was backed up: work failed; the table says why\.$/m);
  dom0.qubesd.fault = () => undefined;
  return dom0.stored()[0] ?? '';
}

describe('a VM that was not shut down before a power failure', () => {
  it('is backed up with a warning that what it wrote last is missing', async () => {
    await using dom0 = await Dom0.make();
    const image = dom0.image('work', 'private');
    writeFileSync(image.replace(/\.img$/, '-dirty.img'), 'what it wrote last');
    const backUp = () => dom0.coffer(['backup', '-y', '-d', STORAGE_VM, '.', 'work', 'dev-box']);
    const run = await backUp();
    expect(run, run.stderr).toMatchObject({ status: 0 });
    expect(run.stderr.replaceAll('\n', ' ')).toMatch(
      /Qubes has not saved what work wrote when it last ran, as after a power failure: that is not in the backup; start it/,
    );
    const work = dom0.qubesd.store.qubes.get('work') ?? expect.fail();
    work.state = 'Running';
    expect((await backUp()).stderr).not.toContain('Qubes has not saved');
  });
});

describe('a VM without a saved state that changes while it is backed up', () => {
  it.each(EVENTS)('fails if it %s, while the others are stored', async (_, started, why) => {
    await using dom0 = await withChangingWork(started);
    const run = await dom0.coffer(['backup', '-y', '-d', STORAGE_VM, '.', 'work', 'dev-box']);
    expect(run, run.stderr).toMatchObject({ status: 1 });
    expect(run.stderr).toMatch(why);
    expect(dom0.stored()).toHaveLength(1);
    const { qubes } = dom0.qubesd.store;
    expect(qubes.get('work')?.properties.has('backup_timestamp')).toBe(false);
    expect(qubes.get('dev-box')?.properties.has('backup_timestamp')).toBe(true);
  });

  it.each(EVENTS)('leaves no backup if it %s and is the only one', async (_, started, why) => {
    await using dom0 = await withChangingWork(started);
    const run = await dom0.coffer(['backup', '-y', '-d', STORAGE_VM, '.', 'work']);
    expect(run).toMatchObject({ status: 1 });
    expect(run.stderr).toMatch(why);
    expect(dom0.stored()).toEqual([]);
  });

  it('is shown by list as incomplete', async () => {
    await using dom0 = await withChangingWork(EVENTS[1][1]);
    const run = await dom0.coffer(['list', '-d', STORAGE_VM, await backUpBoth(dom0)]);
    expect(run).toMatchObject({ status: 0 });
    expect(run.stdout).toMatch(
      /^work +cannot be restored: the backup itself says that it is incomplete/m,
    );
    expect(run.stdout).toMatch(/^dev-box +StandaloneVM/m);
  });

  it('is shown by verify as incomplete, not as damaged, from a file and from a stream', async () => {
    await using dom0 = await withChangingWork(EVENTS[1][1]);
    const backup = await backUpBoth(dom0);
    for (const source of [[backup], ['--command', `cat ${backup}`]]) {
      const run = await dom0.coffer(['verify', '-d', STORAGE_VM, ...source]);
      expect(run, run.stderr).toMatchObject({ status: 1 });
      expect(run.stdout).toMatch(
        /^work +incomplete .*the backup itself says that it is incomplete: /m,
      );
      expect(run.stdout).toMatch(/^dev-box +verified/m);
      expect(run.stdout).toMatch(
        /is authentic and complete.* But work could not be backed up completely/,
      );
    }
  });

  it('is left out of a restore, and refused if it is named', async () => {
    await using dom0 = await withChangingWork(EVENTS[1][1]);
    const backup = await backUpBoth(dom0);
    const restore = ['restore', '-y', '-d', STORAGE_VM, '--rename-conflicting', backup];
    const named = await dom0.coffer([...restore, 'work']);
    expect(named).toMatchObject({ status: 5 });
    expect(named.stderr).toMatch(
      /work: the backup itself says that it is incomplete.*was changed while/,
    );
    const before = dom0.names();
    const all = await dom0.coffer(restore);
    expect(all, all.stderr).toMatchObject({ status: 0 });
    expect(all.stdout).toMatch(/^work +left out .*the backup itself says that it is incomplete/m);
    expect(dom0.names()).toEqual([...before, 'dev-box-1'].sort());
    expect(dom0.sha256('dev-box-1', 'private')).toBe(dom0.sha256('dev-box', 'private'));
  });

  it('fails in a restore from a stream, and leaves nothing behind', async () => {
    await using dom0 = await withChangingWork(EVENTS[1][1]);
    const command = `cat ${await backUpBoth(dom0)}`;
    const before = dom0.names();
    const run = await dom0.coffer([
      ...['restore', '-y', '-d', STORAGE_VM, '--rename-conflicting', '--command', command],
    ]);
    expect(run).toMatchObject({ status: 1 });
    expect(run.stdout).toMatch(/^work-1 +failed .*the backup itself says that it is incomplete/m);
    expect(dom0.names()).toEqual([...before, 'dev-box-1'].sort());
  });

  it('is reported as incomplete by recover.sh, also for a single file', async () => {
    await using dom0 = await withChangingWork(EVENTS[1][1]);
    const backup = join(dom0.storage, await backUpBoth(dom0));
    const secret = dom0.words(['list'])[2] ?? '';
    const recover = (what: string) => {
      const output = join(dom0.scene.directory, `recovered-${what.replaceAll('/', '-')}`);
      const run = spawnSync('sh', [RECOVER, '-p', secret, backup, output, what], {
        encoding: 'utf8',
      });
      return { ...run, output };
    };
    const work = recover('work');
    expect(work, work.stderr).toMatchObject({ status: 1 });
    expect(work.stderr).toMatch(
      /vm\d+ is incomplete in this backup: the volume private of work was changed/,
    );
    const [vm = ''] = /vm\d+/.exec(work.stderr) ?? [];
    expect(readFileSync(join(work.output, vm, 'incomplete.txt'), 'utf8')).toMatch(
      /was changed while/,
    );
    const image = recover(`${vm}/private.img`);
    expect(image).toMatchObject({ status: 1 });
    expect(existsSync(join(image.output, vm, 'private.img'))).toBe(true);
    const whole = recover('dev-box');
    expect(whole, whole.stderr).toMatchObject({ status: 0 });
  });
});
