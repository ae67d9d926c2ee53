import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { makeScene } from '../qubesd/scene.ts';
import { Desktop } from './desktop.ts';
import { Recorded } from './recorded.ts';

const LOOK = { event: 'phase', phase: 'look' };
const OK = { ok: true, exitStatus: 0 };
const qube = {
  ...{ name: 'work', class: 'AppVM', size: 1e6, used: 1e6, forDisposables: false, label: 'red' },
  ...{ running: false, sinceLast: 'changed' },
  ...{ state: 'never', created: null, location: null, check: null },
};
const WARNING = 'the record of backups cannot be read';
const STATUS = {
  ...{ event: 'result', command: 'status', ok: false, exitStatus: 1, due: 7, warnings: [WARNING] },
  ...{ qubes: [qube], excluded: [] },
  series: [{ location: 'dom0:/media/disk/backups', created: null }],
};
const DISK = { device: '/dev/sdb1', mountPoint: '/media/disk', label: null, size: 1, free: 1 };

let coffer: Recorded;
beforeEach(() => {
  coffer = new Recorded();
  onTestFinished(() => coffer[Symbol.dispose]());
  coffer.play('status', [LOOK, STATUS, { exit: 1 }]);
  const profiles = { event: 'result', command: 'profiles', ...OK, profiles: [PROFILE] };
  coffer.play('profiles', [profiles]);
  devices([]);
});

const OFFERED = { backend: 'sys-usb', port: 'sda1', description: 'Stick', size: 1 };

const PROFILE = {
  name: 'weekly',
  vm: 'usb',
  location: 'backups',
  isCommand: false,
  through: null,
  qubes: [],
};

function devices(mounted: readonly object[], offered: readonly object[] = []): void {
  const places = [{ name: 'usb', class: 'AppVM', running: false }];
  const result = { event: 'result', command: 'devices', ...OK, mounted, offered, places };
  coffer.play('devices', [result]);
}

async function open(name: 'notify' | 'watch', settings = {}): Promise<Desktop> {
  const { program, directory } = coffer;
  const more = { COFFER_WATCH_SECONDS: '1', COFFER_QUBESD_SOCKET: '/nonexistent', ...settings };
  return Desktop.open(name, directory, { program, programs: directory, more });
}

/** Runs what the unit of a timer's backup runs after the backup ended with this status. */
async function failTimer(desktop: Desktop, exitStatus: number): Promise<void> {
  const run = (argv: string, status: number): string =>
    `{ path=/usr/bin/coffer ; argv[]=/usr/bin/coffer ${argv} ; ignore_errors=no ; code=exited ; status=${status} }`;
  // The command that follows the backup did not run.
  coffer.addProgram('systemctl', `${run('backup', exitStatus)}\n${run('prune', 0)}`);
  const buses = path.join(coffer.directory, `buses-${exitStatus}`);
  const own = path.join(buses, String(process.getuid?.()));
  mkdirSync(own, { recursive: true });
  symlinkSync(await desktop.bus(), path.join(own, 'bus'));
  const env = { ...process.env, PATH: `${coffer.directory}:${process.env['PATH'] ?? ''}` };
  expect(spawnSync('rpm/notify-failure', ['weekly', buses], { env })).toMatchObject({ status: 0 });
}

describe('a notification', () => {
  it('that backups are due says that their disk is attached, and opens the window', async () => {
    devices([DISK]);
    await using desktop = await open('notify');
    expect(await desktop.isNotified()).toEqual({
      summary: 'The disk of your backups is attached',
      body: 'Nothing has been backed up yet. 1 qube is in no backup.',
      action: 'Back up…',
    });
    await desktop.act();
    await desktop.sees('Your backups');
    // The qube has changed since its last backup.
    await desktop.sees('yes');
    await desktop.sees(WARNING);
    await desktop.press('Cancel');
    await desktop.seesNothing();
  }, 120_000);

  it('is shown when backups are due, and again when their disk is attached', async () => {
    await using desktop = await open('watch');
    expect(await desktop.isNotified()).toMatchObject({ summary: 'Backups are due' });
    await desktop.act();
    await desktop.sees('Your backups');
    await desktop.press('Cancel');
    await desktop.seesNothing();
    const looks = (): number => coffer.commands.filter((each) => each.startsWith('devices')).length;
    const sofar = looks();
    await desktop.seesEventually(() => looks() > sofar + 1);
    devices([DISK]);
    const attached = { summary: 'The disk of your backups is attached', action: 'Back up…' };
    expect(await desktop.isNotified()).toMatchObject(attached);
  }, 120_000);

  it('is shown when a backup is due and a disk is attached to a qube that has backed up to a disk before', async () => {
    const series = [{ location: 'vault:/run/media/user/disk/backups', created: null }];
    coffer.play('status', [LOOK, Object.assign({}, STATUS, { series }), { exit: 1 }]);
    devices([], [{ ...OFFERED, attachedTo: null }]);
    await using scene = await makeScene();
    const { qubesd } = scene;
    const settings = { COFFER_WATCH_SECONDS: '3600', COFFER_QUBESD_SOCKET: qubesd.socketPath };
    await using desktop = await open('watch', settings);
    expect(await desktop.isNotified()).toMatchObject({ summary: 'Backups are due' });
    await desktop.seesEventually(() => qubesd.listening === 1);
    devices([], [{ ...OFFERED, attachedTo: 'vault' }]);
    qubesd.tell('work', 'domain-start', { start_guid: 'True' });
    qubesd.tell('vault', 'device-attach:block', { device: 'sys-usb+sda1', options: '{}' });
    expect(await desktop.isNotified('A disk is attached to vault')).toMatchObject({
      body: 'Nothing has been backed up yet. 1 qube is in no backup.',
      action: 'Back up…',
    });
  }, 120_000);

  it("of a timer's backup that could not begin says why, and opens the details", async () => {
    coffer.addProgram('journalctl', 'coffer: the directory backups does not exist');
    await using desktop = await open('watch');
    await desktop.isNotified();
    await failTimer(desktop, 5);
    expect(await desktop.isNotified('A backup was postponed')).toMatchObject({
      body: 'The backup with the profile weekly could not begin. usb is not running.',
      action: 'Details…',
    });
    await desktop.act();
    await desktop.sees('What became of the backup with the profile weekly');
    await desktop.sees('coffer: the directory backups does not exist');
    const journal = 'journalctl --unit coffer-backup@weekly.service ';
    expect(coffer.commands.some((each) => each.startsWith(journal))).toBe(true);
    await desktop.press('Back up…');
    await desktop.sees('Your backups');
  }, 120_000);

  it("of a timer's backup that failed names its profile", async () => {
    await using desktop = await open('watch');
    await desktop.isNotified();
    await failTimer(desktop, 1);
    expect(await desktop.isNotified('A backup failed')).toMatchObject({
      body: 'The backup with the profile weekly failed.',
      action: 'Details…',
    });
  }, 120_000);
});
