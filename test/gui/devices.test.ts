import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Dom0, STORAGE_VM } from '../qubesd/dom0.ts';
import { Desktop } from './desktop.ts';

const PASSPHRASE = 'correct horse';
/** What `admin.vm.device.block.Available` answers; its description looks like markup. */
const STICK = "sda:b device_id='b' port_id='sda' devclass='block' name='<b>Stick</b>' _size='64'\n";
const ATTACHED = "sys-net+sda:b device_id='b' port_id='sda' devclass='block' mode='manual'\n";

/** A whole dom0 whose disks come and go, and the windows on it. */
class Disks {
  readonly dom0: Dom0;
  readonly mountPoint: string;
  readonly backups: string;

  constructor(dom0: Dom0) {
    this.dom0 = dom0;
    this.mountPoint = path.join(dom0.scene.directory, 'media/disk');
    this.backups = path.join(this.mountPoint, 'backups');
    mkdirSync(this.backups, { recursive: true });
    for (const name of [STORAGE_VM, 'work']) {
      const qube = dom0.qubesd.store.qubes.get(name);
      if (qube !== undefined) qube.state = 'Running';
    }
    this.#addProgram('lsblk', `cat '${this.#listing}'`);
    this.#addProgram('udisksctl', `echo "$*" > '${path.join(dom0.scene.directory, 'unmounted')}'`);
    this.inDom0([]);
  }

  /** Mounts these in dom0, or unmounts all. */
  inDom0(devices: readonly { readonly free: number }[]): void {
    const blockdevices = devices.map(({ free }) => ({
      ...{ path: '/dev/sdb1', mountpoints: [this.mountPoint], label: 'Disk', size: 9e9 },
      ...{ fsavail: free, rm: true, hotplug: true },
    }));
    writeFileSync(this.#listing, JSON.stringify({ blockdevices }));
  }

  /** Attaches the stick to a qube, besides the one that it is in; or pulls it out. */
  stick(isThere: boolean, attachedTo?: string): void {
    const { blockDevices, attachedDevices } = this.dom0.qubesd.machine;
    blockDevices.clear();
    attachedDevices.clear();
    if (isThere) blockDevices.set(STORAGE_VM, STICK);
    if (attachedTo !== undefined) attachedDevices.set(attachedTo, ATTACHED);
  }

  open(name: 'backup' | 'restore'): Promise<Desktop> {
    const environment = Object.entries(this.dom0.environment());
    const ofCoffer = environment.filter(([variable]) => variable.startsWith('COFFER_'));
    return Desktop.open(name, '', {
      ...{ home: this.dom0.home, programs: this.dom0.scene.directory },
      more: Object.fromEntries(ofCoffer),
    });
  }

  get #listing(): string {
    return path.join(this.dom0.scene.directory, 'lsblk.json');
  }

  #addProgram(name: string, script: string): void {
    const file = path.join(this.dom0.scene.directory, name);
    writeFileSync(file, `#!/bin/sh\n${script}\n`);
    chmodSync(file, 0o755);
  }
}

describe('a removable disk in dom0', () => {
  it('is offered while it is there, and what was entered about it stays when it comes back', async () => {
    await using dom0 = await Dom0.make();
    const disks = new Disks(dom0);
    await using desktop = await disks.open('backup');
    await desktop.press('Choose…');
    await desktop.press('Leave all out');
    await desktop.sees('Select at least one qube.');
    await desktop.activateRow('work');
    await desktop.press('Next');
    await desktop.sees(/No removable device is attached/);
    // Without a press on “Refresh”.
    disks.inDom0([{ free: 5e9 }]);
    await desktop.choose('Device', 'Disk, in dom0: 4.7');
    await desktop.sees(disks.mountPoint);
    await desktop.type('Directory or command', disks.backups);
    await desktop.sees(/is free there/);

    disks.inDom0([{ free: 4e9 }]);
    await desktop.choose('Device', 'Disk, in dom0: 3.7');
    await desktop.sees(disks.backups);

    disks.inDom0([]);
    await desktop.press('Refresh');
    await desktop.sees(/^\/dev\/sdb1 is not attached any more\. No removable device is attached/);
    disks.inDom0([{ free: 4e9 }]);
    await desktop.press('Refresh');
    await desktop.seesNoMore(/is not attached any more/);
    await desktop.sees(disks.backups);
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.type('Passphrase again', PASSPHRASE);
    await desktop.press('Next');
    await desktop.press('Back up');
    await desktop.sees('The backup is complete');
    expect(readdirSync(disks.backups)).toHaveLength(1);
    await desktop.press('Unmount the disk');
    await desktop.sees('The disk can be unplugged');
  }, 120_000);
});

describe('a disk of a qube', () => {
  it('is offered by the qube that it is attached to, which becomes the target', async () => {
    await using dom0 = await Dom0.make();
    const disks = new Disks(dom0);
    mkdirSync(path.join(dom0.storage, 'backups'));
    disks.stick(true);
    await using desktop = await disks.open('backup');
    await desktop.press('Choose…');
    await desktop.press('Next');
    await desktop.choose('Target qube', 'dom0');
    await desktop.choose('Device', '<b>Stick</b>, in sys-net: 64 bytes');
    await desktop.sees('Mount it in sys-net, then choose its directory with …');
    await desktop.press('Browse');
    await desktop.sees('A directory in sys-net');
    await desktop.activateRow('backups');
    await desktop.sees(/^sys-net:.*\/backups\n/);
    await desktop.press('Choose this directory');
    await desktop.sees(/is free there/);

    disks.stick(true, 'work');
    await desktop.press('Refresh');
    await desktop.sees('Mount it in work, then choose its directory with …');
    await desktop.sees(/qubes-coffer-vm/);
    disks.stick(false);
    await desktop.press('Refresh');
    await desktop.sees(/^sys-net:sda is not attached any more\. No removable device/);
    disks.stick(true);
    await desktop.press('Refresh');
    await desktop.sees('Mount it in sys-net, then choose its directory with …');
  }, 120_000);

  it('is offered to restore from, while it is there', async () => {
    await using dom0 = await Dom0.make();
    const disks = new Disks(dom0);
    const backup = await dom0.backUp('work');
    await using desktop = await disks.open('restore');
    await desktop.sees(/No removable device is attached/);
    // Without a press on “Refresh”.
    disks.stick(true);
    await desktop.choose('Device', '<b>Stick</b>, in sys-net: 64 bytes');
    await desktop.sees('Mount it in sys-net, then choose its directory with …');
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Browse');
    await desktop.sees(new RegExp(`newest is ${backup}`));
    await desktop.press('Choose this directory');
    disks.stick(false);
    await desktop.sees(/^sys-net:sda is not attached any more\. No removable device/);
    disks.stick(true);
    await desktop.sees('Mount it in sys-net, then choose its directory with …');
    await desktop.press('Next');
    await desktop.sees('Which backup?');
    await desktop.sees(backup);
  }, 120_000);
});
