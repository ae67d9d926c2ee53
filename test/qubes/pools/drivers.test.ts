import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { PlacedVolume } from '../../../dom0-agent/qubes/pools/pool-driver.ts';
import { openPool } from '../../../dom0-agent/qubes/pools/open-pool.ts';
import { isOwnerGone, newOwnerName } from '../../../dom0-agent/qubes/owner-names.ts';
import { runnerBehind } from '../../../shared/run-program.ts';
import { FailedError, RefusedError } from '../../../shared/errors.ts';
import { Commands } from './commands.ts';

let devices: string;
beforeEach(() => {
  devices = mkdtempSync(join(tmpdir(), 'coffer-dev-'));
});
afterEach(() => rmSync(devices, { recursive: true }));

const settings = (text: string) =>
  new Map(text.split(' ').map((word) => word.split('=') as [string, string]));
const halted = () => Promise.resolve(false);
const running = () => Promise.resolve(true);
const volume = (vid: string, hasNoSavedState = false): PlacedVolume => ({
  ...{ label: 'the volume private of work', qubeName: 'work', vid, hasNoSavedState },
});
/** Answers whether a VM is running: the given answers in turn, then always the last one. */
const runningInTurn =
  (...answers: boolean[]) =>
  (): Promise<boolean> =>
    Promise.resolve(answers.length > 1 ? answers.shift() === true : answers[0] === true);
const nothing = new Commands();

/** `coffer.<pid>.<start>.<random>` of this process. */
const OURS = `coffer\\.${process.pid}\\.\\d+\\.[0-9a-f]{8}`;

describe('the name of a snapshot', () => {
  it('shows whether the process that took it has ended', async () => {
    const own = await newOwnerName();
    expect(own).toMatch(new RegExp(`^${OURS}$`));
    expect(await isOwnerGone(`vm-work-private-${own}-snap`)).toBe(false);
    expect(await isOwnerGone('coffer.999999999.1.00000000')).toBe(true);
    // Another process has the same process id.
    expect(await isOwnerGone(own.replace(/\.\d+\.([0-9a-f]{8})$/, '.1.$1'))).toBe(true);
    expect(await isOwnerGone('.private.img.coffer.999999999.1.00000000')).toBe(true);
    expect(await isOwnerGone('coffer.1.1.deadbeef-private')).toBe(false);
    expect(await isOwnerGone('vm-coffer-private-snap')).toBe(false);
    expect(await isOwnerGone('vm-coffer.1-private-snap')).toBe(false);
  });
});

describe('a pool', () => {
  it('of an unknown kind is refused by name', () => {
    const open = () =>
      openPool('odd', settings('driver=odd'), { runAsRoot: nothing.run, isRunning: halted });
    expect(open).toThrow(RefusedError);
    expect(open).toThrow(/the storage pool odd.*"odd"/);
  });

  it('that lacks a setting is refused', () => {
    const open = () =>
      openPool('thin', settings('driver=lvm_thin'), { runAsRoot: nothing.run, isRunning: halted });
    expect(open).toThrow(/thin does not say its "volume_group"/);
  });
});

describe('file pools', () => {
  it('have the committed content in the file with the volume’s id', async () => {
    for (const driver of ['file', 'file-reflink']) {
      const pool = openPool('p', settings(`driver=${driver} dir_path=${devices}`), {
        runAsRoot: nothing.run,
        isRunning: halted,
      });
      await pool.removeStale();
      writeFileSync(join(devices, 'private.img'), driver);
      await using opened = await pool.open(volume('private'));
      expect(readFileSync(opened.path, 'utf8')).toBe(driver);
    }
  });

  it('of the kind "file-reflink" hold images that a VM replaces when it stops, but not those that it writes in place', async () => {
    const surroundings = { runAsRoot: nothing.run, isRunning: halted };
    const open = (driver: string) =>
      openPool('p', settings(`driver=${driver} dir_path=${devices}`), surroundings);
    const reflink = open('file-reflink');
    const image = join(devices, 'private.img');
    writeFileSync(image, 'before');
    await using opened = await reflink.open(volume('private'));
    writeFileSync(`${image}.new`, 'after');
    renameSync(`${image}.new`, image);
    expect(readFileSync(opened.path, 'utf8')).toBe('before');
    expect([reflink.holds(volume('v')), reflink.holds(volume('v', true))]).toEqual([true, false]);
    expect(open('file').holds(volume('v'))).toBe(false);
    await expect(reflink.open(volume('gone'))).rejects.toThrow(/private of work has no committed/);
  });

  it('of the kind "file-reflink" show that a VM did not commit what it wrote', async () => {
    const surroundings = { runAsRoot: nothing.run, isRunning: halted };
    const open = (driver: string) =>
      openPool('p', settings(`driver=${driver} dir_path=${devices}`), surroundings);
    writeFileSync(join(devices, 'v-dirty.img'), '');
    const found = ['v', 'w'].map((vid) => open('file-reflink').hasUncommitted(vid));
    expect(await Promise.all(found)).toEqual([true, false]);
    expect(await open('file').hasUncommitted('v')).toBe(false);
  });

  it('of the kind "file" cannot be read while the VM is running', async () => {
    const surroundings = { runAsRoot: nothing.run, isRunning: running };
    const settingsOfReflink = settings(`driver=file-reflink dir_path=${devices}`);
    const reflink = openPool('p', settingsOfReflink, surroundings);
    writeFileSync(join(devices, 'v.img'), '');
    await using opened = await reflink.open(volume('v'));
    await opened.requireUnchanged();
    const file = openPool('p', settings('driver=file dir_path=/p'), surroundings);
    await expect(file.open(volume('v'))).rejects.toThrow(FailedError);
    await expect(file.open(volume('v'))).rejects.toThrow(/shut work down first/);
    expect([reflink.keepsSavedState, file.keepsSavedState]).toEqual([true, false]);
  });

  it.each(['file', 'file-reflink'])(
    'of the kind "%s" notice that a VM was started that writes to the image itself',
    async (driver) => {
      let runs = false;
      const pool = openPool('p', settings(`driver=${driver} dir_path=/p`), {
        runAsRoot: nothing.run,
        isRunning: () => Promise.resolve(runs),
      });
      await using opened = await pool.open(volume('v', true));
      await opened.requireUnchanged();
      runs = true;
      await expect(opened.requireUnchanged()).rejects.toThrow(/work was started while/);
      await expect(pool.open(volume('v', true))).rejects.toThrow(/no separate saved state/);
    },
  );

  it('of the kind "file-reflink" allow a VM to be started that writes to a copy', async () => {
    const pool = openPool('p', settings(`driver=file-reflink dir_path=${devices}`), {
      runAsRoot: nothing.run,
      isRunning: running,
    });
    writeFileSync(join(devices, 'v.img'), '');
    await using opened = await pool.open(volume('v'));
    await opened.requireUnchanged();
  });
});

describe('lvm_thin', () => {
  const open = (commands: Commands, isRunning = running) =>
    openPool('thin', settings('driver=lvm_thin volume_group=qubes_dom0 thin_pool=vm-pool'), {
      runAsRoot: commands.run,
      isRunning,
      devices,
    });

  it('takes a snapshot under a name that qubesd ignores, and removes it', async () => {
    const commands = new Commands([/lvcreate/, '  Logical volume "x" created.\n']);
    const opened = await open(commands).open(volume('qubes_dom0/vm-work-private'));
    const name = new RegExp(`^${devices}/(qubes_dom0/vm-work-private\\+(${OURS})-snap)$`);
    const [, snapshot = '', owner = ''] = name.exec(opened.path) ?? [];
    expect(snapshot).not.toBe('');
    expect(commands.ran).toEqual([
      'lvm lvcreate --setactivationskip=n --activate=y --snapshot ' +
        `--addtag=${owner} --name=${snapshot} -- qubes_dom0/vm-work-private`,
      `lvm lvchange --activate=y --ignoreactivationskip -- ${snapshot}`,
    ]);
    await opened[Symbol.asyncDispose]();
    expect(commands.ran.at(-1)).toBe(`lvm lvremove --force -- ${snapshot}`);
  });

  it('shows that a VM did not commit what it wrote', async () => {
    mkdirSync(join(devices, 'qubes_dom0'));
    writeFileSync(join(devices, 'qubes_dom0/vm-work-private-snap'), '');
    const pool = open(new Commands());
    expect(await pool.hasUncommitted('qubes_dom0/vm-work-private')).toBe(true);
    expect(await pool.hasUncommitted('qubes_dom0/vm-mail-private')).toBe(false);
  });

  it('leaves nothing behind if the snapshot cannot be activated', async () => {
    const commands = new Commands([/lvchange/, new Error('device-mapper: no space')]);
    const opening = open(commands).open(volume('qubes_dom0/vm-work-private'));
    await expect(opening).rejects.toThrow(/no space/);
    expect(commands.ran.at(-1)).toMatch(/^lvm lvremove --force -- .*-snap$/);
  });

  it('passes on the error of LVM if there is no such volume', async () => {
    const commands = new Commands([/lvcreate/, new Error('Failed to find logical volume "q/v"')]);
    await expect(open(commands).open(volume('q/v'))).rejects.toThrow(/Failed to find logical/);
    expect(commands.ran).toHaveLength(1);
  });

  it('says that the pool is full', async () => {
    // Output of LVM 2.03.16 for a real pool.
    const full =
      'WARNING: Thin pool qubes_dom0/vm-pool is out of data space. Cannot create new thin volume, ' +
      'free space in thin pool qubes_dom0/vm-pool reached threshold.';
    const commands = new Commands([/lvcreate/, new Error(full)]);
    const opening = open(commands).open(volume('qubes_dom0/vm-work-private'));
    await expect(opening).rejects.toThrow(/^the volume private of work .* its thin pool is full/);
    expect(commands.ran).toHaveLength(1);
  });

  it('reports a snapshot that cannot be removed', async () => {
    const commands = new Commands([/lvremove/, new Error('Logical volume in use')]);
    const opened = await open(commands).open(volume('qubes_dom0/vm-work-private'));
    await expect(opened[Symbol.asyncDispose]()).rejects.toThrow(/lvremove.*-snap.*in use/);
  });

  it('refuses a volume that a running VM writes to', async () => {
    const inPlace = volume('qubes_dom0/vm-work-private', true);
    const commands = new Commands();
    await expect(open(commands).open(inPlace)).rejects.toThrow(/no separate saved state/);
    expect(commands.ran).toEqual([]);
    // The VM is started while the snapshot is taken.
    const started = open(commands, runningInTurn(false, true)).open(inPlace);
    await expect(started).rejects.toThrow(/no separate saved state/);
    expect(commands.ran.at(-1)).toMatch(/^lvm lvremove --force -- .*-snap$/);
    // The VM is started later, which does not change the snapshot.
    await using opened = await open(commands, runningInTurn(false, false, true)).open(inPlace);
    await opened.requireUnchanged();
  });

  it('removes the snapshots that a killed coffer has left, and nothing that may belong to a VM', async () => {
    const own = await newOwnerName();
    const left = 'coffer.999999999.5.0123abcd';
    // Output of `lvs --noheadings -o lv_name,lv_tags`.
    const listed = [
      '  root',
      '  vm-pool',
      '  vm-work-private                                                  by-hand',
      '  vm-work-private-1700000000-back',
      '  vm-work-private-snap',
      `  vm-work-private+${own}-snap                                      ${own}`,
      `  vm-work-private+${left}-snap                                     by-hand,${left}`,
      // VMs with such names, and volumes with only the name or the tag.
      `  vm-${left}-private-snap`,
      `  vm-${left}-private-snap                                          ${left}`,
      `  vm-work-${left}-snap                                             ${left}`,
      `  vm-work-root+${left}-snap`,
      `  vm-work-root+${left}-snap                                        coffer.999999999.5.ffffffff`,
      `  vm-work-private                                                  ${left}`,
      '',
    ].join('\n');
    const commands = new Commands([/lvs/, listed]);
    await open(commands).removeStale();
    expect(commands.ran).toEqual([
      'lvm lvs --noheadings -o lv_name,lv_tags -- qubes_dom0',
      `lvm lvremove --force -- qubes_dom0/vm-work-private+${left}-snap`,
    ]);
  });
});

describe('zfs', () => {
  const open = (commands: Commands, isRunning: () => Promise<boolean>) =>
    openPool('tank', settings('driver=zfs container=tank/qubes'), {
      // A clone appears as a device.
      runAsRoot: async (program, args) => {
        const output = await commands.run(program, args);
        if (args[0] === 'clone') {
          mkdirSync(join(devices, 'zvol/tank/qubes'), { recursive: true });
          writeFileSync(join(devices, 'zvol', args.at(-1) ?? ''), '');
        }
        return output;
      },
      isRunning,
      devices,
    });

  it('clones a snapshot of a halted VM’s volume, and destroys both', async () => {
    const commands = new Commands();
    const opened = await open(commands, halted).open(volume('tank/qubes/work/private'));
    const [, owned = ''] =
      new RegExp(`^${devices}/zvol/tank/qubes/(${OURS})$`).exec(opened.path) ?? [];
    expect(owned).not.toBe('');
    await opened[Symbol.asyncDispose]();
    const snapshot = `tank/qubes/work/private@${owned}`;
    expect(commands.ran).toEqual([
      `zfs snapshot -o coffer:owner=${owned} ${snapshot}`,
      `zfs clone -o readonly=on -o com.sun:auto-snapshot=false -o coffer:owner=${owned} ` +
        `${snapshot} tank/qubes/${owned}`,
      `zfs destroy -r tank/qubes/${owned}`,
      `zfs destroy ${snapshot}`,
    ]);
  });

  it('reads the last clean snapshot of a running VM’s volume', async () => {
    // Output of `zfs list -H -o name -s createtxg -t snapshot`.
    const listed = [
      'tank/qubes/work/private@qubes-clean-01234567',
      'tank/qubes/work/private@qubes-clean-89abcdef',
      'tank/qubes/work/private@qubes:before-start:1700000000.000000',
      'tank/qubes/work/private@by-hand',
      '',
    ].join('\n');
    const commands = new Commands([/list/, listed]);
    const opened = await open(commands, running).open(volume('tank/qubes/work/private'));
    await opened[Symbol.asyncDispose]();
    expect(
      commands.ran.filter((line) => /zfs (snapshot|clone|destroy)|-t snapshot/.test(line)),
    ).toEqual([
      'zfs list -H -o name -s createtxg -t snapshot tank/qubes/work/private',
      expect.stringMatching(
        /clone .* tank\/qubes\/work\/private@qubes-clean-89abcdef tank\/qubes\/coffer/,
      ),
      expect.stringMatching(/^zfs destroy -r tank\/qubes\/coffer[^@]*$/),
    ]);
  });

  it('reads the last clean snapshot if the VM is started while coffer takes its own', async () => {
    const listed = 'tank/qubes/work/private@qubes-clean-01234567\n';
    const commands = new Commands([/list/, listed]);
    const isRunning = runningInTurn(false, true);
    const opened = await open(commands, isRunning).open(volume('tank/qubes/work/private'));
    await opened[Symbol.asyncDispose]();
    expect(commands.ran.find((line) => line.startsWith('zfs clone'))).toContain(
      ' tank/qubes/work/private@qubes-clean-01234567 ',
    );
    expect(commands.ran.at(-1)).toMatch(/^zfs destroy tank\/qubes\/work\/private@coffer/);
  });

  it('refuses a volume that a running VM writes to', async () => {
    const inPlace = volume('tank/qubes/work/private', true);
    const commands = new Commands([/list/, 'tank/qubes/work/private@qubes-clean-01234567\n']);
    await expect(open(commands, running).open(inPlace)).rejects.toThrow(/no separate saved state/);
    expect(commands.ran).toEqual([]);
    const started = open(commands, runningInTurn(false, false, true)).open(inPlace);
    await expect(started).rejects.toThrow(/no separate saved state/);
    expect(commands.ran.at(-1)).toMatch(/^zfs destroy tank\/qubes\/work\/private@coffer/);
    expect(commands.ran.some((line) => line.startsWith('zfs clone'))).toBe(false);
  });

  it('refuses a running VM’s volume that has no clean snapshot', async () => {
    const opening = open(new Commands(), running).open(volume('tank/qubes/work/private'));
    await expect(opening).rejects.toThrow(/shut the VM down first/);
  });

  it('leaves nothing behind if the clone fails', async () => {
    const commands = new Commands([/clone/, new Error('device busy')]);
    const opening = open(commands, halted).open(volume('tank/qubes/work/private'));
    await expect(opening).rejects.toThrow(/device busy/);
    expect(commands.ran.at(-1)).toMatch(/^zfs destroy tank\/qubes\/work\/private@coffer/);
  });

  it.each(['snapshot', 'clone'])(
    'says that the pool is full if a %s cannot be created for that reason',
    async (made) => {
      const full = new Error(`cannot create ${made}: out of space`);
      const commands = new Commands([new RegExp(`zfs ${made}`), full]);
      const opening = open(commands, halted).open(volume('tank/qubes/work/private'));
      await expect(opening).rejects.toThrow(/private of work cannot be read: its pool is full/);
    },
  );

  it('does not fail if its snapshot was removed together with the volume', async () => {
    // The error of ZFS 2.1.11 for a missing snapshot.
    const gone = new Error('could not find any snapshots to destroy; check snapshot names.');
    const commands = new Commands([/zfs destroy/, gone]);
    const opened = await open(commands, halted).open(volume('tank/qubes/work/private'));
    await opened[Symbol.asyncDispose]();
    expect(commands.ran.filter((line) => line.startsWith('zfs destroy'))).toHaveLength(2);
  });

  it('removes the clones and snapshots that a killed coffer has left, and nothing that may belong to a VM', async () => {
    const own = await newOwnerName();
    const left = 'coffer.999999999.5.0123abcd';
    // Output of `zfs list -H -o name,coffer:owner`.
    const listed = [
      'tank/qubes/work/private\t-',
      `tank/qubes/work/private@${left}\t${left}`,
      `tank/qubes/work/private@${own}\t${own}`,
      'tank/qubes/work/private@qubes-clean-01234567\t-',
      `tank/qubes/${left}\t${left}`,
      // A snapshot inherits the property, and a VM may have such a name.
      `tank/qubes/${left}@zfs-auto-snap\t${left}`,
      `tank/qubes/coffer.999999999.5.ffffffff\t-`,
      `tank/qubes/${left}/private\t-`,
      `tank/qubes/work/root@${left}\t-`,
      '',
    ].join('\n');
    const commands = new Commands([/list/, listed]);
    await open(commands, halted).removeStale();
    expect(commands.ran).toEqual([
      'zfs list -H -o name,coffer:owner -t volume,snapshot -r tank/qubes',
      `zfs destroy -r tank/qubes/${left}`,
      `zfs destroy tank/qubes/work/private@${left}`,
    ]);
  });
});

describe('running a program', () => {
  it('gives its output, or fails with the end of its standard error', async () => {
    const run = runnerBehind([]);
    expect(await run('printf', ['a\\n'])).toBe('a\n');
    await expect(run('sh', ['-c', 'echo "no\x1b[31m luck" >&2; exit 5'])).rejects.toThrow(
      /failed \(5\): no\?\[31m luck$/,
    );
    await expect(run('sh', ['-c', 'kill -9 $$'])).rejects.toThrow(/failed \(SIGKILL\)/);
    await expect(run('/nowhere/lvm', [])).rejects.toThrow(FailedError);
    await expect(run('/nowhere/lvm', [])).rejects.toThrow(/not installed/);
  });

  it('puts the prefix, such as sudo, before it', async () => {
    expect(await runnerBehind(['env', '-i', 'A=b'])('env', [])).toBe('A=b\n');
  });
});
