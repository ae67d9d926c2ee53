import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { beforeAll, describe, expect, it } from 'vitest';

import { openQubesdSystem } from '../../dom0-agent/qubes/admin-api/qubesd-system.ts';
import { Dom0, type Run, STORAGE_VM } from '../qubesd/dom0.ts';
import type { Call } from '../qubesd/methods.ts';
import { build } from './qubesd-build.ts';
import { lastEvent } from './events.ts';

beforeAll(build);

const RESTORE = ['restore', '-d', STORAGE_VM, '-y', '--rename-conflicting'];

interface Row {
  readonly name: string;
  readonly result: string;
  readonly remarks: readonly string[];
}

/** The table at the end. */
function rowsOf(run: Run): Row[] {
  const { qubes } = lastEvent(run.stdout) as unknown as { qubes: Row[] };
  return qubes;
}

const resultsOf = (run: Run): string[] =>
  rowsOf(run).map(({ name, result }) => `${name} ${result}`);

/** Stops qubesd during the first call of `method`, and starts it again after a while. */
function restartAt(dom0: Dom0, method: string): void {
  const { qubesd } = dom0;
  let isDone = false;
  qubesd.fault = (call: Call) => {
    if (isDone || call.method !== method) return undefined;
    isDone = true;
    void qubesd
      .stop()
      .then(() => sleep(800))
      .then(() => qubesd.start());
    return undefined;
  };
}

describe('if a VM cannot be restored', () => {
  it('because its volume cannot be written, it is removed, and the others are restored', async () => {
    await using dom0 = await Dom0.make();
    const system = openQubesdSystem({ socketPath: dom0.qubesd.socketPath });
    await system.create({
      ...{ name: 'tiny', qubeClass: 'AppVM', label: 'red', template: 'fedora-42-xfce' },
      pool: undefined,
    });
    dom0.volume('tiny', 'private').size = 4096;
    dom0.fillVolumes('tiny');
    const backup = await dom0.backUp('work', 'tiny');
    const files = dom0.poolFiles();
    const run = await dom0.coffer([...RESTORE, '--json', backup], { fullAfter: 100_000 });
    expect(run, run.stderr).toMatchObject({ status: 1 });
    expect(resultsOf(run)).toEqual(['work-1 failed', 'tiny-1 restored']);
    expect(rowsOf(run)[0]?.remarks[0]).toMatch(/volume private of work-1.*error copying data/);
    expect(dom0.names()).not.toContain('work-1');
    expect(dom0.poolFiles()).toEqual([...files, dom0.image('tiny-1', 'private')].sort());
    expect(dom0.sha256('tiny-1', 'private')).toBe(dom0.sha256('tiny', 'private'));
  });

  it('because its pool is full, the error names the pool, the free space and the needed space', async () => {
    await using dom0 = await Dom0.make();
    const backup = await dom0.backUp('work');
    const { machine } = dom0.qubesd;
    machine.poolUsage = machine.poolSize - 2_000_000;
    const told = async (): Promise<string> => {
      const run = await dom0.coffer([...RESTORE, '--json', backup], { fullAfter: 100_000 });
      expect(run, run.stderr).toMatchObject({ status: 1 });
      return rowsOf(run)[0]?.remarks[0] ?? '';
    };
    expect(await told()).toMatch(
      /volume private of work-1 could not be written, after .*: its pool varlibqubes is full: 1.91 MiB were free, and the volume needs up to 3.81 MiB/,
    );
    machine.poolMetadata = { size: 1000, usage: 1000 };
    expect(await told()).toContain('the metadata of its pool varlibqubes is full');
    machine.poolMetadata = undefined;
    machine.poolUsage = 0;
    expect(await told()).toMatch(/pool varlibqubes is not full: 25\d GiB were free.*error copying/);
    expect(dom0.names()).not.toContain('work-1');
  });

  it('because the chosen pool does not exist or only holds kernels, the restore is refused before it reads the passphrase', async () => {
    await using dom0 = await Dom0.make();
    for (const pool of ['nosuch', 'linux-kernel']) {
      const run = await dom0.coffer([...RESTORE, '--pool', pool, '-p', '/nowhere', 'nobackup']);
      expect(run).toMatchObject({ status: 5 });
      expect(run.stderr).toContain(`no storage pool called ${pool} for VMs`);
      expect(run.stderr).toContain('it has varlibqubes');
    }
  });

  it('and --keep-failed is given, it is kept, halted and tagged', async () => {
    await using dom0 = await Dom0.make();
    const backup = await dom0.backUp('work');
    const run = await dom0.coffer([...RESTORE, '--keep-failed', backup], { fullAfter: 100_000 });
    expect(run, run.stderr).toMatchObject({ status: 1 });
    expect(run.stdout).toMatch(/Not everything was restored: work-1 failed/);
    const kept = dom0.qubesd.store.qubes.get('work-1');
    expect(kept).toMatchObject({ state: 'Halted' });
    expect(kept?.tags.has('restore-failed')).toBe(true);
    expect(kept?.properties.get('label')).toBe('red');
  });

  it('and is a template, the VMs that are based on it fail, too, and no others', async () => {
    await using dom0 = await Dom0.make();
    const backup = await dom0.backUp('fedora-42-xfce', 'default-dvm', 'work', 'dev-box');
    for (const method of ['admin.vm.Create.TemplateVM', 'internal.vm.volume.ImportBegin']) {
      dom0.qubesd.fault = (call) => {
        const isOfTemplate = call.dest === 'fedora-42-xfce-1' || call.payload.includes('fedora');
        if (call.method !== method || !isOfTemplate) return undefined;
        return { kind: 'exception', type: 'QubesException', message: 'the disk is on fire' };
      };
      const before = [dom0.names(), dom0.poolFiles()];
      const run = await dom0.coffer([...RESTORE, '--json', backup]);
      expect(run, run.stderr).toMatchObject({ status: 1 });
      expect(resultsOf(run)).toEqual([
        ...['fedora-42-xfce-1 failed', 'default-dvm-1 failed', 'work-1 failed'],
        'dev-box-1 restored',
      ]);
      const [template, , work] = rowsOf(run);
      expect(template?.remarks[0]).toContain('the disk is on fire');
      expect(work?.remarks).toEqual(['its template fedora-42-xfce-1 could not be restored']);
      await openQubesdSystem({ socketPath: dom0.qubesd.socketPath }).remove('dev-box-1');
      expect([dom0.names(), dom0.poolFiles()]).toEqual(before);
    }
  });

  it('and is a net VM, the VMs that use it get no other access to the network', async () => {
    await using dom0 = await Dom0.make();
    const { store, socketPath } = dom0.qubesd;
    const system = openQubesdSystem({ socketPath });
    await system.setProperty('work', 'netvm', 'sys-firewall');
    const backup = await dom0.backUp('sys-firewall', 'work');
    dom0.qubesd.fault = ({ method, dest }) =>
      method === 'internal.vm.volume.ImportBegin' && dest === 'sys-firewall-1'
        ? { kind: 'nothing' }
        : undefined;
    const run = await dom0.coffer([...RESTORE, '--json', backup]);
    expect(resultsOf(run)).toEqual(['sys-firewall-1 failed', 'work-1 restored in part']);
    expect(rowsOf(run)[1]?.remarks.join()).toMatch(/netvm not set: .*; it has none now/);
    expect(store.qubes.get('work-1')?.properties.get('netvm')).toBe('');
  });

  it('with all settings, those that qubesd refuses are named, and the others are set', async () => {
    await using dom0 = await Dom0.make();
    const { store } = dom0.qubesd;
    store.qubes.get('work')?.properties.set('kernel', 'gone');
    const backup = await dom0.backUp('work');
    dom0.qubesd.fault = ({ method, arg }) =>
      method === 'admin.vm.feature.Set' && arg === 'service.cups'
        ? { kind: 'exception', type: 'QubesValueError', message: 'no cups here' }
        : undefined;
    const run = await dom0.coffer([...RESTORE, '--json', backup]);
    expect(run, run.stderr).toMatchObject({ status: 1 });
    expect(rowsOf(run)).toMatchObject([{ name: 'work-1', result: 'restored in part' }]);
    const remarks = rowsOf(run)[0]?.remarks.join('\n');
    expect(remarks).toMatch(/kernel not set: .*Kernel 'gone' not installed/);
    expect(remarks).toMatch(/the feature service.cups not set: .*no cups here/);
    expect(store.qubes.get('work-1')?.properties.get('memory')).toBe('600');
    expect(store.qubes.get('work-1')?.firewall).toBe(store.qubes.get('work')?.firewall);
  });

  it('or dom0’s home cannot, the others are restored', async () => {
    await using dom0 = await Dom0.make();
    writeFileSync(join(dom0.home, 'letter'), 'Dear reader');
    const backup = await dom0.backUp('dom0', 'work');
    const tar = join(dom0.scene.directory, 'tar');
    writeFileSync(tar, '#!/bin/sh\necho tar: no space left >&2; exit 2\n', { mode: 0o755 });
    const run = await dom0.coffer([...RESTORE, '--json', backup]);
    expect(run, run.stderr).toMatchObject({ status: 1 });
    expect(resultsOf(run)).toEqual(['work-1 restored', 'dom0 failed']);
    expect(rowsOf(run)[1]?.remarks[0]).toMatch(/could be unpacked: .*no space left/);
    expect(readdirSync(dom0.home)).toEqual(['letter']);
  });
});

describe('a second restore', () => {
  it('is refused while the first one is running, naming its process, and works afterwards', async () => {
    await using dom0 = await Dom0.make();
    const backup = await dom0.backUp('work');
    const { qubesd } = dom0;
    let isThere = (): void => undefined;
    const importing = new Promise<void>((resolve) => (isThere = resolve));
    qubesd.fault = ({ method }) => {
      if (method !== 'internal.vm.volume.ImportBegin') return undefined;
      isThere();
      // The call is not answered before the second restore has been refused.
      return { kind: 'hang' };
    };
    const first = dom0.start([...RESTORE, backup]);
    const ended = new Promise<number | null>((resolve) => first.once('close', resolve));
    await importing;
    expect(qubesd.store.qubes.get('work-1')?.properties.get('netvm')).toBe('');
    const second = await dom0.coffer([...RESTORE, backup]);
    expect(second).toMatchObject({ status: 5 });
    expect(second.stderr).toMatch(
      new RegExp(`another restore is running .*process ${first.pid}, started \\d{4}-\\d\\d-\\d\\d`),
    );
    qubesd.fault = () => undefined;
    first.kill('SIGKILL');
    await ended;
    const third = await dom0.coffer([...RESTORE, backup]);
    expect(third, third.stderr).toMatchObject({ status: 0 });
    expect(dom0.names()).toContain('work-1');
    expect(dom0.names()).not.toContain('work-2');
  });
});

describe('a qubesd that restarts', () => {
  it('while it sets a property is waited for', async () => {
    await using dom0 = await Dom0.make();
    const backup = await dom0.backUp('work');
    restartAt(dom0, 'admin.vm.property.Set');
    const run = await dom0.coffer([...RESTORE, backup]);
    expect(run, run.stderr).toMatchObject({ status: 0 });
    expect(run.stderr).toContain('qubesd is not answering: waiting for it to come back');
    expect(dom0.sha256('work-1', 'private')).toBe(dom0.sha256('work', 'private'));
    expect(dom0.qubesd.store.qubes.get('work-1')?.properties.get('memory')).toBe('600');
  });

  it('while it ends an import is waited for, and the VM is removed, as its volume may not be imported', async () => {
    await using dom0 = await Dom0.make();
    const backup = await dom0.backUp('work');
    const before = dom0.names();
    restartAt(dom0, 'internal.vm.volume.ImportEnd');
    const run = await dom0.coffer([...RESTORE, backup]);
    expect(run, run.stderr).toMatchObject({ status: 1 });
    expect(run.stderr).not.toMatch(/\n {4}at /);
    expect(dom0.names()).toEqual(before);
  });

  it('while it creates a VM is waited for; coffer leaves that VM alone and restores the others', async () => {
    await using dom0 = await Dom0.make();
    const backup = await dom0.backUp('work', 'sys-firewall');
    restartAt(dom0, 'admin.vm.Create.AppVM');
    const run = await dom0.coffer([...RESTORE, backup]);
    expect(run, run.stderr).toMatchObject({ status: 1 });
    expect(run.stderr).toMatch(
      /the connection to qubesd was lost while (work|sys-firewall)-1 was being created.*leaves it/,
    );
    const whose = ['work-1', 'sys-firewall-1'].map((name) => dom0.qubesd.store.qubes.get(name));
    const [left, ...others] = whose.filter((qube) => qube?.features.size === 0);
    expect(left).toBeDefined();
    expect(others).toEqual([]);
    const restored = whose.find((qube) => qube !== left)?.name ?? '';
    expect(dom0.sha256(restored, 'private')).toBe(
      dom0.sha256(restored.replace('-1', ''), 'private'),
    );
  });
});

describe('a restore that finds the backup damaged', () => {
  it('leaves nothing behind, neither VMs nor a home', async () => {
    await using dom0 = await Dom0.make();
    writeFileSync(join(dom0.home, 'letter'), 'Dear reader');
    const backup = await dom0.backUp('dom0', 'fedora-42-xfce', 'default-dvm', 'work');
    const path = join(dom0.storage, backup);
    const whole = readFileSync(path);
    const before = [dom0.names(), dom0.poolFiles(), readdirSync(dom0.home)];
    for (const at of [0.5, 0.8]) {
      const damaged = Buffer.from(whole);
      const byte = Math.floor(whole.length * at);
      damaged.writeUInt8(damaged.readUInt8(byte) ^ 1, byte);
      writeFileSync(path, damaged);
      const run = await dom0.coffer([...RESTORE, backup]);
      expect(run, run.stderr).toMatchObject({ status: 3 });
      expect([dom0.names(), dom0.poolFiles(), readdirSync(dom0.home)]).toEqual(before);
    }
  });
});

describe('dom0’s home', () => {
  it('is restored to a new directory, and overwrites nothing', async () => {
    await using dom0 = await Dom0.make();
    mkdirSync(join(dom0.home, '.config'));
    writeFileSync(join(dom0.home, '.config/a'), 'old');
    const backup = await dom0.backUp('dom0', 'work');
    writeFileSync(join(dom0.home, '.config/a'), 'new');
    const run = await dom0.coffer([...RESTORE, backup, 'dom0']);
    expect(run, run.stderr).toMatchObject({ status: 0 });
    const restored = readdirSync(dom0.home).find((name) => name.startsWith('home-restore-')) ?? '';
    expect(readFileSync(join(dom0.home, restored, '.config/a'), 'utf8')).toBe('old');
    expect(readFileSync(join(dom0.home, '.config/a'), 'utf8')).toBe('new');
  });

  it('of another user is only restored if that is requested, and none if settings are distrusted', async () => {
    await using dom0 = await Dom0.make();
    const backup = await dom0.backUp('dom0', 'work');
    const getent = join(dom0.scene.directory, 'getent');
    const other = readFileSync(getent, 'utf8')
      .replaceAll('someone', 'other')
      .replace('home/other', 'home/someone');
    writeFileSync(getent, other);
    const refused = await dom0.coffer([...RESTORE, backup]);
    expect(refused).toMatchObject({ status: 5 });
    expect(refused.stderr).toMatch(/that of someone.*--ignore-username-mismatch/);
    const distrusting = await dom0.coffer([...RESTORE, '--distrust-settings', backup]);
    expect(distrusting, distrusting.stderr).toMatchObject({ status: 0 });
    expect(distrusting.stdout).toMatch(/dom0 +left out.*home is left out: settings are distrusted/);
    const work = dom0.qubesd.store.qubes.get('work-1');
    expect(work).toMatchObject({ firewall: dom0.qubesd.store.qubes.get('work')?.firewall });
    expect([...(work?.features.keys() ?? [])]).toEqual(['service.cups']);
    expect(existsSync(dom0.home) && readdirSync(dom0.home)).toEqual([]);

    const all = await dom0.coffer([...RESTORE, '--ignore-username-mismatch', backup, 'dom0']);
    expect(all, all.stderr).toMatchObject({ status: 0 });
    expect(readdirSync(dom0.home)).toHaveLength(1);
  });

  it('is the last thing to restore if every VM is left out: without it, the restore is refused', async () => {
    await using dom0 = await Dom0.make();
    const backup = await dom0.backUp('work');
    const skip = ['restore', '-d', STORAGE_VM, '-y', '--skip-conflicting'];
    const nothing = await dom0.coffer([...skip, backup]);
    expect(nothing).toMatchObject({ status: 5 });
    expect(nothing.stdout).toMatch(/work +left out +a VM of that name exists/);
    expect(nothing.stderr).toMatch(/there is nothing to restore/);
  });
});
