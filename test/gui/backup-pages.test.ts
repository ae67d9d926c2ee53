import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { Desktop } from './desktop.ts';
import { type Step, Recorded } from './recorded.ts';

const CONFIRM = { event: 'question', question: 'confirm', text: 'Back up?' };
const NEW_PASSPHRASE = { event: 'question', question: 'new-passphrase', text: 'New passphrase' };
const phase = (name: string) => ({ event: 'phase', phase: name });
const LOOK = phase('look');
const SEND = phase('send');
const qube = {
  ...{ class: 'AppVM', label: 'red', running: false, volumes: ['private'] },
  ...{ sinceLast: 'unchanged', changed: 0 },
};
const PLAN = {
  ...{ event: 'plan', command: 'backup', vm: 'usb', location: 'usb:/backups', freeBytes: 4e9 },
  ...{ startsVm: false, leastBytes: 1e6, mostBytes: 2e6, leftOut: [] },
  ...{ dom0Home: null, dom0Paths: null },
  ...{ mostRead: 2e6, mostSeconds: null, lastEffort: null },
  qubes: [
    { name: 'work', size: 3e6, used: 1e6, ...qube },
    { name: 'vault', size: 3e6, used: 1e6, ...qube, sinceLast: 'changed', changed: 1e6 },
  ],
  ...{ series: null, unknown: null, problems: [] },
};
const RESULT = {
  ...{ event: 'result', command: 'backup', ok: true, exitStatus: 0, vm: 'usb', bytes: 1e6 },
  ...{
    location: 'usb:/backups/one',
    path: '/backups/one',
    sha256: '',
    dataFiles: [],
    checked: false,
  },
  ...{ changedVms: null, newBytes: null, knownBytes: null, warnings: [], seconds: 1 },
  ...{ created: '2026-11-25T12:00:00.000Z', format: 'coffer-1', encrypted: true, leftOut: [] },
  card: 'series 0a1b2c3d, number 1, 2026-11-25, 0123 4567',
  qubes: [
    { name: 'work', result: 'stored', size: 3e6, used: 1e6, running: false, failure: null },
    { name: 'vault', result: 'stored', size: 3e6, used: 1e6, running: false, failure: null },
  ],
  recovery: [],
};

describe('the window of a backup, with recorded events,', () => {
  let box: Box;
  const cleanUps: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    box = await Box.full((cleanUp) => cleanUps.push(cleanUp));
  });
  afterAll(() => Promise.all(cleanUps.map((cleanUp) => cleanUp())));

  /** A window on the page that asks where the backup should go, filled in. */
  async function whereTo(coffer: Recorded): Promise<Desktop> {
    const desktop = await Desktop.open('backup', box.directory, {
      program: coffer.program,
      programs: coffer.directory,
    });
    await desktop.press('Choose…');
    await desktop.sees('Which qubes do you want to back up?');
    await desktop.press('Next');
    await desktop.type('Directory or command', 'backups');
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.type('Passphrase again', PASSPHRASE);
    return desktop;
  }

  it('shows a failure if coffer is killed or exits with an error, and can go back from it', async () => {
    using coffer = new Recorded();
    const begun = [LOOK, PLAN, CONFIRM, NEW_PASSPHRASE, SEND];
    coffer.play('backup', [...begun, 'kill']);
    await using desktop = await whereTo(coffer);
    await desktop.press('Next');
    await desktop.sees('unchanged since the last backup');
    await desktop.press('Back up');
    await desktop.sees('The backup failed');
    await desktop.sees(/coffer was killed/);
    await desktop.sees(/the last words/);
    expect(coffer.answers.slice(-2)).toEqual(['yes', PASSPHRASE]);

    await desktop.press('Back');
    coffer.play('backup', [...begun, RESULT, { exit: 1 }]);
    await desktop.press('Next');
    await desktop.press('Back up');
    await desktop.sees('The backup failed');
    await desktop.sees(/exit status 1/);

    await desktop.press('Back');
    coffer.play('backup', [...begun, 'kill']);
    await desktop.press('Next');
    await desktop.sees('Is this what you want to back up?');
    await desktop.press('Back');
    await desktop.sees('Where should the backup go?');
  }, 120_000);

  it('shows a problem with the destination at its field, and lets qubes be dragged', async () => {
    using coffer = new Recorded();
    const sentence = 'it may not fit: as is usual for FAT';
    const problems = [{ field: 'location', sentence }];
    coffer.play('backup', [LOOK, planWith({ problems }), CONFIRM]);
    await using desktop = await whereTo(coffer);
    await desktop.sees(/as is usual for FAT/);
    for (const refusal of ['no agent', 'not enough space']) {
      const about = { field: 'location', vm: null };
      const error = { event: 'error', ...about, sentence: refusal, exitStatus: 5 };
      coffer.play('backup', [LOOK, error, { exit: 5 }]);
      await desktop.press('Refresh');
      await desktop.sees(refusal);
      await desktop.sees('A backup cannot go there: see above.');
    }
    const places = [{ name: 'usb', class: 'AppVM', running: false }];
    coffer.play('backup', [LOOK, planWith({ startsVm: true }), CONFIRM]);
    coffer.play('devices', [devices([], places), { exit: 0 }]);
    await desktop.sees(/usb will be started for it/);
    await desktop.sees('usb (not running)');

    // With the mouse, a qube is removed from the selection and added again.
    await desktop.press('Back');
    await desktop.sees(/^4 qubes selected, .* 1 is left out\./);
    await desktop.drag('vault', 'Available');
    await desktop.sees(/^3 qubes selected, .* 2 are left out\./);
    await desktop.drag('vault', 'Selected');
    await desktop.sees(/^4 qubes selected, /);
  }, 120_000);

  it('shows devices as they come and go, turns the computer off afterwards, and unmounts the device', async () => {
    using coffer = new Recorded();
    const places = ['usb', 'dom0'].map((name) => ({ name, class: 'AppVM', running: true }));
    const disk = { device: '/dev/sdb1', mountPoint: '/media/disk', label: 'Disk', free: 5e9 };
    coffer.play('devices', [devices([], places)]);
    const done = { ...RESULT, checked: true };
    coffer.play('backup', [LOOK, PLAN, CONFIRM, NEW_PASSPHRASE, SEND, { wait: 'gate' }, done]);
    coffer.addProgram('udisksctl');
    coffer.addProgram('systemctl');
    await using desktop = await whereTo(coffer);
    await desktop.sees(/No removable device is attached/);
    coffer.play('devices', [devices([{ ...disk, size: 9e9 }], places)]);
    await desktop.choose('Device', 'Disk,');
    await desktop.sees('/media/disk');
    await desktop.press('Next');
    await desktop.sees('Is this what you want to back up?');
    expect(coffer.commands.at(-1)).toMatch(/^backup .* -- \/media\/disk /);
    await desktop.press('Back');
    coffer.play('devices', [devices([], places)]);
    await desktop.press('Refresh');
    await desktop.sees(/No removable device is attached/);
    coffer.play('devices', [devices([{ ...disk, size: 9e9 }], places)]);
    await desktop.choose('Device', 'Disk,');
    await desktop.press('Next');
    await desktop.press('Back up');
    await desktop.press('Turn off the computer afterwards, if the backup is complete and checked');
    coffer.release('gate');
    await desktop.sees('The backup is complete');
    await desktop.sees(/The computer will be turned off in/);
    await desktop.press('Turn it off now');
    await desktop.seesEventually(() => coffer.commands.at(-1) === 'systemctl poweroff');
    await desktop.press('Unmount the disk');
    await desktop.sees('The disk can be unplugged');
    expect(coffer.commands.at(-1)).toBe('udisksctl unmount --block-device /dev/sdb1');
  }, 120_000);

  it('shows what each qube is waiting for, how far it is, and every step of the work', async () => {
    using coffer = new Recorded();
    const about = (
      name: string,
      state: string,
      what: string | null,
      read: number,
      isNew: number,
    ) => ({
      ...{ event: 'qube', name, state, what, read, new: isNew, total: 4e6 },
    });
    const progress = {
      ...{ event: 'progress', bytes: 2e6, total: 8e6, stored: 1e6, seconds: 3 },
      ...{ rate: 1e6, secondsLeft: 6 },
    };
    const done = { ...RESULT, checked: true };
    const dom0Paths = { paths: ['/etc/qubes', '/srv/salt'], used: 5e6 };
    coffer.play('backup', [
      ...[
        LOOK,
        planWith({ dom0Paths }),
        CONFIRM,
        NEW_PASSPHRASE,
        phase('detect'),
        { wait: 'detected' },
      ],
      ...[phase('send'), about('work', 'working', 'private', 1e6, 1e5), progress],
      ...[{ wait: 'sent' }, about('work', 'done', null, 4e6, 1e5)],
      ...[
        about('vault', 'failed', 'its volume cannot be read', 1e6, 0),
        phase('sync'),
        { wait: 'synced' },
      ],
      ...[phase('check'), { wait: 'checked' }, done],
    ]);
    await using desktop = await whereTo(coffer);
    await desktop.press('Next');
    await desktop.sees('its configuration: /etc/qubes, /srv/salt');
    await desktop.sees(/^3 qubes, 6\.7\sMiB of data:$/);
    await desktop.press('Back up');
    await desktop.sees('Looking for changes …');
    await desktop.sees('looking for changes');
    await desktop.sees('work: looking for changes');
    coffer.release('detected');
    await desktop.sees('Sending data to the storage …');
    await desktop.sees(/^976\.6\sKiB of 3\.8\sMiB$/);
    await desktop.sees('waiting');
    await desktop.sees(/^work\nprivate\nRead: 976\.6\sKiB of 3\.8\sMiB\nNew: 97\.7\sKiB$/);
    await desktop.sees(/^1\.9\sMiB of 7\.6\sMiB, 976\.6\sKiB a second, 6 s left$/);
    coffer.release('sent');
    await desktop.sees(/^done: 97\.7\sKiB new$/);
    await desktop.sees('failed: its volume cannot be read');
    await desktop.sees('Waiting for the storage to write everything to disk …');
    coffer.release('synced');
    await desktop.sees('Checking what was stored …');
    coffer.release('checked');
    await desktop.sees('The backup is complete');
    await desktop.sees(/^Keep this with the passphrase: series 0a1b2c3d, number 1, /);
    await desktop.press('Copy details');
    expect(await desktop.clipboard()).toMatch(
      /^The backup is complete\nIt is in usb:\/backups\/one, /,
    );
  }, 120_000);

  it('shows that a qube cannot be backed up, and lets the selection be changed', async () => {
    using coffer = new Recorded();
    const sentence = 'work has no saved state: shut it down';
    const refused = { event: 'error', field: 'vms', vm: null, sentence, exitStatus: 5 };
    coffer.play('backup', [LOOK, refused, { exit: 5 }]);
    await using desktop = await whereTo(coffer);
    await desktop.sees(sentence);
    await desktop.sees(/^These qubes cannot be backed up: see above, and go back/);
    await desktop.press('Back');
    await desktop.press('Leave all out');
    await desktop.sees('Select at least one qube.');
    await desktop.type('Filter by name', 'VAU');
    await desktop.seesNoMore(/^work$/);
    await desktop.activateRow('vault');
    await desktop.sees(/^1 qube selected, .* 4 are left out\./);
    coffer.play('backup', [LOOK, PLAN, CONFIRM]);
    await desktop.press('Next');
    await desktop.sees(/is free there/);
    expect(coffer.commands.at(-1)).toMatch(/ -- backups vault$/);
  }, 120_000);

  it('shows what makes other backups doubtful before they are continued', async () => {
    using coffer = new Recorded();
    const warning = 'dom0 knows number 5 of the series, but the newest there is number 4';
    const result = { event: 'result', command: 'adopt', ok: true, exitStatus: 0 };
    const ask = { event: 'question', question: 'passphrase', text: 'Passphrase' };
    const series: object[] = [];
    const adopted = Object.assign(result, {
      location: 'usb:/backups',
      series,
      warnings: [warning],
    });
    coffer.play('adopt', [ask, adopted]);
    const { program } = coffer;
    await using desktop = await Desktop.open('backup', box.directory, { program });
    await desktop.press('Continue other backups…');
    await desktop.type('Directory', 'backups');
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.sees('Do you want to continue these backups?');
    await desktop.sees(warning);
    await desktop.press('Back');
    await desktop.sees('Where are the other backups?');
    await desktop.press('Next');
    await desktop.press('Go on');
    await desktop.sees('Your backups');
    await desktop.sees(/^dom0 knows the backups in usb:backups now/);
  }, 120_000);

  it('explains what a passphrase does without encryption, and shows it on request', async () => {
    using coffer = new Recorded();
    coffer.play('backup', [LOOK, PLAN, CONFIRM]);
    await using desktop = await whereTo(coffer);
    const isHidden = async (): Promise<boolean> =>
      (await desktop.look()).some(({ role }) => role === 'password text');
    expect(await isHidden()).toBe(true);
    await desktop.press('Show the passphrase');
    await desktop.find('the passphrase', ({ text }) => text === PASSPHRASE);
    expect(await isHidden()).toBe(false);
    await desktop.press('Encrypt backup');
    await desktop.sees(
      /^The backup will not be encrypted: whoever has it can read it\. The passphrase/,
    );
    await desktop.press('Compress backup');
    await desktop.press('Next');
    await desktop.sees('Is this what you want to back up?');
    expect(coffer.commands.at(-1)).toMatch(/^backup .*--no-encrypt -Z none .*-- backups /);
  }, 120_000);

  it('shows which qubes failed and why, and can back up these again', async () => {
    using coffer = new Recorded();
    const [work, vault] = RESULT.qubes;
    const qubes = [work, { ...vault, result: 'failed', failure: 'vault was started' }];
    const steps = [LOOK, PLAN, CONFIRM, NEW_PASSPHRASE, SEND];
    const partly = { ...RESULT, ok: false, exitStatus: 1, qubes };
    coffer.play('backup', [...steps, { wait: 'gate' }, partly, { exit: 1 }]);
    await using desktop = await whereTo(coffer);
    await desktop.press('Next');
    await desktop.sees('not in the earlier backups: all of it is new');
    await desktop.press('Back up');
    await desktop.press('Turn off the computer afterwards, if the backup is complete and checked');
    coffer.release('gate');
    await desktop.sees('The backup is not complete');
    await desktop.sees('1 of 2 qubes is not in this backup:');
    await desktop.sees('vault: vault was started');
    const shown = (await desktop.look()).map(({ name }) => name);
    expect(shown.filter((name) => name.includes('turned off'))).toEqual([]);
    const changes = { changedVms: 1, newBytes: 1e6, knownBytes: 3e6, checked: true };
    const onDisk = { path: '/run/media/user/disk/one' };
    coffer.play('backup', [...steps, { ...RESULT, ...changes, ...onDisk }]);
    await desktop.press('Try these again');
    await desktop.press('Back up');
    await desktop.sees('The backup is complete');
    await desktop.sees(/1 qube changed: .* is new/);
    await desktop.sees('The backup was read back and checked.');
    await desktop.sees('Unmount the disk in usb before you unplug it.');
    expect(coffer.commands.at(-1)).toMatch(/ -- backups vault$/);
  }, 120_000);
});

function planWith(fields: {
  readonly problems?: readonly object[];
  readonly startsVm?: boolean;
  readonly dom0Paths?: object;
}): Step {
  return { ...PLAN, ...fields };
}

function devices(mounted: readonly object[], places: readonly object[]): Step {
  const result = { event: 'result', command: 'devices', ok: true, exitStatus: 0 };
  return Object.assign(result, { mounted, offered: [], places });
}
