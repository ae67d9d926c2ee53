import { spawn } from 'node:child_process';
import { mkdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { beforeAll, describe, expect, it } from 'vitest';

import { eventually } from '../eventually.ts';
import { processesIn } from '../../tools/faults/processes.ts';
import { Dom0, STORAGE_VM } from '../qubesd/dom0.ts';
import { build } from './qubesd-build.ts';
import { lastEvent } from './events.ts';

beforeAll(build);

const TO_STORAGE = ['backup', '-d', STORAGE_VM, '-y'];

/** Runs coffer at a terminal where `answer` is typed. */
async function atTerminal(
  dom0: Dom0,
  args: readonly string[],
  answer: string,
): Promise<{ status: number | null; screen: string }> {
  const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;
  const coffer = new URL('../../dist/coffer', import.meta.url).pathname;
  const line = `stty cols 200; ${[coffer, ...dom0.words(args)].map(quote).join(' ')}`;
  const child = spawn('script', ['--quiet', '--return', '--command', line, '/dev/null'], {
    env: dom0.environment(),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const status = new Promise<number | null>((resolve) => child.once('close', resolve));
  let isAnswered = false;
  let screen = '';
  child.stdout.setEncoding('utf8');
  for await (const piece of child.stdout as AsyncIterable<string>) {
    screen += piece;
    if (!isAnswered && screen.includes('[y/N]')) {
      isAnswered = true;
      child.stdin.write(answer);
    }
  }
  return { status: await status, screen };
}

function run(dom0: Dom0, vm: string): void {
  const qube = dom0.qubesd.store.qubes.get(vm);
  if (qube === undefined) throw new Error(`there is no ${vm}`);
  qube.state = 'Running';
}

describe('before a backup', () => {
  it('a table shows the VMs, their sizes and the free space; then coffer asks', async () => {
    await using dom0 = await Dom0.make();
    run(dom0, STORAGE_VM);
    const backup = ['backup', '-d', STORAGE_VM, '.', 'work', 'dev-box'];
    const no = await atTerminal(dom0, backup, 'n\r');
    expect(no.status).toBe(5);
    expect(no.screen).toMatch(/work +AppVM +fedora-42-xfce +\(default\) +private +3\.81 MiB/);
    expect(no.screen).toMatch(/dev-box +StandaloneVM +\(default\) +root, private +7\.63 MiB/);
    expect(no.screen).toMatch(/\d+ KiB in all, to sys-net:.*\([\d.]+ [KMGT]iB free there\)/);
    expect(no.screen).toMatch(/nothing was done/);
    expect(dom0.stored()).toEqual([]);

    const yes = await atTerminal(dom0, backup, 'y\r');
    expect(yes.status, yes.screen).toBe(0);
    expect(dom0.stored()).toHaveLength(1);
  });

  it('a halted storage VM is started, but only after the user has agreed', async () => {
    await using dom0 = await Dom0.make();
    const storage = dom0.qubesd.store.qubes.get(STORAGE_VM);
    const backup = ['backup', '-d', STORAGE_VM, '.', 'work'];
    const no = await atTerminal(dom0, backup, 'n\r');
    expect(no.screen).toMatch(/to sys-net:\.; sys-net will be started for it/);
    expect(no.screen).not.toContain('starting sys-net');
    expect(storage?.state).toBe('Halted');

    const yes = await atTerminal(dom0, backup, 'y\r');
    expect(yes.status, yes.screen).toBe(0);
    expect(yes.screen).toContain('starting sys-net');
    expect(storage?.state).toBe('Running');
  });
});

describe('the content of a backup', () => {
  it('is by default every VM with include_in_backups, whose backup_timestamp is set', async () => {
    await using dom0 = await Dom0.make();
    const { store } = dom0.qubesd;
    store.qubes.get('dev-box')?.properties.set('include_in_backups', 'False');
    store.qubes.get(STORAGE_VM)?.properties.set('include_in_backups', 'False');
    const begun = Math.floor(Date.now() / 1000);
    const run = await dom0.coffer([...TO_STORAGE, '--json', '.']);
    expect(run, run.stderr).toMatchObject({ status: 0 });
    const { qubes } = lastEvent(run.stdout) as unknown as { qubes: { name: string }[] };
    const backedUp = ['fedora-42-xfce', 'sys-firewall', 'default-dvm', 'work'];
    expect(qubes.map(({ name }) => name)).toEqual([...backedUp, 'dom0']);
    for (const { name, properties } of store.qubes.values()) {
      const time = Number(properties.get('backup_timestamp') ?? 0);
      expect(time >= begun, name).toBe(backedUp.includes(name));
    }
  });

  it('is the last saved state of a running VM, or the backup is refused with --running refuse', async () => {
    await using dom0 = await Dom0.make();
    for (const name of ['work', 'dev-box']) run(dom0, name);
    const backup = [...TO_STORAGE, '.', 'work', 'default-dvm', 'dev-box'];
    const refused = await dom0.coffer([...backup, '--running', 'refuse']);
    expect(refused).toMatchObject({ status: 5 });
    expect(refused.stderr).toMatch(/dev-box.*are running.*--running include/);
    expect(refused.stderr).not.toContain('default-dvm');
    expect(dom0.stored()).toEqual([]);

    const included = await dom0.coffer(backup);
    expect(included, included.stderr).toMatchObject({ status: 0 });
    expect(included.stdout).toMatch(/work.*running: its last saved state/);
    expect(included.stdout).not.toMatch(/default-dvm.*running/);
    const [, summary = ''] = included.stdout.split(/^VM +size +read$/m);
    expect(summary).toMatch(/work.*running: its last saved state/);
  });

  it('never includes the backup itself', async () => {
    await using dom0 = await Dom0.make();
    const inHome = join(dom0.home, 'backups');
    mkdirSync(inHome);
    const link = join(dom0.scene.directory, 'elsewhere');
    symlinkSync(inHome, link);
    for (const directory of [inHome, link, dom0.home]) {
      const run = await dom0.coffer(['backup', '-y', directory, 'dom0', 'work']);
      expect(run).toMatchObject({ status: 5 });
      expect(run.stderr).toMatch(/the backup would contain itself.*-x dom0/);
    }
    expect(await dom0.coffer(['backup', '-y', inHome, 'work'])).toMatchObject({ status: 0 });
  });
});

describe('a running VM', () => {
  it('that is the storage VM itself is backed up by default', async () => {
    await using dom0 = await Dom0.make();
    const storage = dom0.qubesd.store.qubes.get(STORAGE_VM);
    if (storage !== undefined) storage.state = 'Running';
    const run = await dom0.coffer([...TO_STORAGE, '.']);
    expect(run, run.stderr).toMatchObject({ status: 0 });
    expect(run.stdout).toMatch(/sys-net .*running: its last saved state/);
    expect(dom0.stored()).toHaveLength(1);
  });

  it('without a saved state is refused before anything is done, unless it is left out', async () => {
    await using dom0 = await Dom0.make();
    const work = dom0.qubesd.store.qubes.get('work');
    if (work !== undefined) work.state = 'Paused';
    dom0.volume('work', 'private').revisionsToKeep = '-1';
    const refused = await dom0.coffer([...TO_STORAGE, '.']);
    expect(refused).toMatchObject({ status: 5 });
    expect(refused.stderr).toMatch(
      /work cannot be backed up while it is running: its volume private has no separate saved state/,
    );
    expect(dom0.stored()).toEqual([]);
    const skipping = await dom0.coffer([...TO_STORAGE, '--running', 'skip', '.']);
    expect(skipping, skipping.stderr).toMatchObject({ status: 0 });
    expect(skipping.stdout).toMatch(/work .*not backed up: it is running/);
  });
});

describe('a RemoteVM', () => {
  it('is refused as a VM to back up and as a place for backups, with the reason', async () => {
    await using dom0 = await Dom0.make();
    const { qubes } = dom0.qubesd.store;
    const work = qubes.get('work');
    if (work !== undefined) qubes.set('far', { ...work, name: 'far', klass: 'RemoteVM' });
    const chosen = await dom0.coffer([...TO_STORAGE, '.', 'far']);
    expect(chosen).toMatchObject({ status: 5 });
    expect(chosen.stderr).toMatch(/far cannot be backed up: it is a RemoteVM/);
    const storage = await dom0.coffer(['backup', '-y', '-d', 'far', '.', 'work']);
    expect(storage).toMatchObject({ status: 5 });
    expect(storage.stderr).toMatch(/far cannot store backups: it is a RemoteVM/);
    const byDefault = await dom0.coffer([...TO_STORAGE, '--json', '.', '-x', 'far']);
    expect(byDefault, byDefault.stderr).toMatchObject({ status: 0 });
    expect(lastEvent(byDefault.stdout)).toMatchObject({
      leftOut: [{ name: 'far', why: 'a RemoteVM' }],
    });
  });
});

describe('a backup fails, and nothing is stored,', () => {
  async function expectFailure(dom0: Dom0, sentence: RegExp, ...qubes: string[]): Promise<void> {
    const run = await dom0.coffer([...TO_STORAGE, '.', ...qubes]);
    expect(run, run.stderr).toMatchObject({ status: 1 });
    expect(run.stderr).toMatch(sentence);
    expect(run.stderr).not.toMatch(/\n {4}at /);
    expect(dom0.stored()).toEqual([]);
    const { qubes: all } = dom0.qubesd.store;
    expect([...all.values()].some((qube) => qube.properties.has('backup_timestamp'))).toBe(false);
  }

  it('if a volume of its only VM is missing or cannot be read', async () => {
    await using dom0 = await Dom0.make();
    const image = dom0.image('work', 'private');
    rmSync(image);
    await expectFailure(dom0, /the volume private of work/, 'work');
    mkdirSync(image);
    await expectFailure(dom0, /the volume private of work cannot be read/, 'work');
    // In the official format, with other VMs, too: the official tools would restore an incomplete VM.
    const qubes4 = ['--format', 'qubes-4', 'dev-box', 'work'];
    await expectFailure(dom0, /the volume private of work cannot be read/, ...qubes4);
  });

  it('if a VM is removed in the meantime', async () => {
    await using dom0 = await Dom0.make();
    dom0.qubesd.fault = ({ method }) => {
      if (method === 'admin.pool.Info') {
        dom0.qubesd.store.qubes.delete('dev-box');
        for (const volume of ['root', 'private']) {
          rmSync(join(dom0.scene.directory, `pool/appvms/dev-box/${volume}.img`), { force: true });
        }
      }
      return undefined;
    };
    await expectFailure(
      dom0,
      /dev-box was removed in the meantime|No such domain: 'dev-box'/,
      'dev-box',
    );
  });

  it('if its pool is of an unknown kind', async () => {
    await using dom0 = await Dom0.make();
    dom0.qubesd.store.pools.get('varlibqubes')?.set('driver', 'odd');
    const run = await dom0.coffer([...TO_STORAGE, '.', 'work']);
    expect(run).toMatchObject({ status: 5 });
    expect(run.stderr).toMatch(
      /work cannot be backed up: .*pool varlibqubes.*"odd".*file, file-reflink, lvm_thin and zfs/,
    );
    expect(dom0.stored()).toEqual([]);
  });

  it('if the VM agent dies or is not installed', async () => {
    await using dom0 = await Dom0.make();
    dom0.setQrexec({ dieAfter: 5_000 });
    const died = await dom0.coffer([...TO_STORAGE, '.', 'work']);
    expect(died, died.stderr).toMatchObject({ status: 4 });
    dom0.setQrexec({ services: {} });
    const missing = await dom0.coffer([...TO_STORAGE, '.', 'work']);
    expect(missing).toMatchObject({ status: 5 });
    expect(missing.stderr).toMatch(/install the package qubes-coffer-vm in sys-net/);
    expect(dom0.stored()).toEqual([]);
  });

  it('if the storage VM shuts down in the middle', async () => {
    await using dom0 = await Dom0.make();
    dom0.setQrexec({ vmDiesAfter: 5_000 });
    const gone = await dom0.coffer([...TO_STORAGE, '.', 'work']);
    expect(gone, gone.stderr).toMatchObject({ status: 4 });
    expect(gone.stderr).toMatch(/the connection to sys-net was lost/);
    expect(dom0.stored()).toEqual([]);
  });

  it('if qubesd is not running', async () => {
    await using dom0 = await Dom0.make();
    const { socketPath } = dom0.qubesd;
    await dom0.qubesd.stop();
    const none = await dom0.coffer([...TO_STORAGE, '.', 'work']);
    expect(none).toMatchObject({ status: 5 });
    expect(none.stderr).toMatch(/not dom0 of a Qubes system.*no qubesd/);

    // A qubesd that was killed leaves its socket behind.
    const leave = `require('net').createServer().listen('${socketPath}', () => process.kill(process.pid, 9))`;
    const child = spawn(process.execPath, ['-e', leave], { stdio: ['ignore', 'pipe', 'ignore'] });
    await text(child.stdout);
    expect(statSync(socketPath).isSocket()).toBe(true);
    await expectFailure(dom0, /qubesd is not running .*systemctl start qubesd/, 'work');
  });
});

describe('a backup whose coffer is killed', () => {
  it('leaves no process in the storage VM', async () => {
    await using dom0 = await Dom0.make();
    const agents = () => processesIn(dom0.storage).filter(({ role }) => role === 'VM agent');
    const command = ['--command', 'cat > /dev/null; touch taken; sleep 300'];
    const coffer = dom0.start(['backup', '-d', STORAGE_VM, '-y', ...command, 'work']);
    await eventually(() => dom0.stored().includes('taken'), 'the command has read everything');
    expect(agents()).not.toHaveLength(0);
    coffer.kill('SIGKILL');
    await eventually(() => processesIn(dom0.storage).length === 0, 'the end of all processes');
  });
});
