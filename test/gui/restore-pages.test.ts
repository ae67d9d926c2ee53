import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { Desktop } from './desktop.ts';
import { Recorded } from './recorded.ts';

const LOOK = { event: 'phase', phase: 'look' };
const ASK = { event: 'question', question: 'passphrase', text: 'Passphrase' };
const CONFIRM = { event: 'question', question: 'confirm', text: 'Restore?' };
const BACKUP = {
  ...{ location: 'usb:/backups/one', format: 'coffer-1', created: '2026-11-25T12:00:00.000Z' },
  ...{ encrypted: true, bytes: 1e6, series: 'aa', sequence: 1 },
};
const qube = { label: 'red', netvm: null, size: 3e6, used: 1e6, volumes: ['private'], remarks: [] };
const VPN = { property: 'netvm', name: 'sys-vpn' };
const OLD_DVM = { property: 'default_dispvm', name: 'old-dvm' };
const CONTENTS = {
  ...{ event: 'result', command: 'list', ok: true, exitStatus: 0, ...BACKUP, compression: 'zstd' },
  qubes: [
    {
      ...{ name: 'mail', class: 'AppVM', template: 'old-debian', ...qube, references: [VPN] },
      remarks: ['called "in box" in the backup, a name that Qubes no longer accepts'],
    },
    { name: 'web', class: 'AppVM', template: 'old-debian', ...qube, references: [VPN, OLD_DVM] },
    { name: 'old-debian', class: 'TemplateVM', template: null, ...qube, references: [] },
  ],
  ...{ dom0Home: { used: 5e6 }, dom0Paths: { paths: ['/etc/qubes', '/srv'], used: 1e6 } },
  unusable: [{ name: 'torn', why: 'its private volume is missing' }],
};
const planned = { class: 'AppVM', size: 3e6, used: 1e6, remarks: [] };
const PLAN = {
  ...{ event: 'plan', command: 'restore', ...BACKUP },
  ...{ dom0Home: { used: 5e6 }, dom0Paths: { paths: ['/etc/qubes', '/srv'], used: 1e6 } },
  qubes: ['mail', 'web'].map((name) => ({ name, restoredAs: name, ...planned })),
  ...{ leftOut: [], removedFirst: [], problems: [] },
};
const NEWER = 'dom0 knows number 5 of the series, but the newest there is number 4';
const outcome = { size: 3e6, used: 1e6, remarks: [] };
const RESULT = {
  ...{ event: 'result', command: 'restore', ok: false, exitStatus: 1, ...BACKUP },
  qubes: [
    { name: 'mail', result: 'restored', ...outcome },
    { name: 'web', result: 'failed', ...outcome, remarks: ['there is no space'] },
  ],
  advice: 'Update old-debian before you start a VM that is based on it.',
  ...{ warnings: [], seconds: 1 },
};

describe('the window of a restore, with recorded events,', () => {
  let box: Box;
  const cleanUps: (() => Promise<void>)[] = [];
  beforeAll(async () => {
    box = await Box.full((cleanUp) => cleanUps.push(cleanUp));
  });
  afterAll(() => Promise.all(cleanUps.map((cleanUp) => cleanUp())));

  /** A window with the location of the backup and the passphrase filled in. */
  async function whichOne(coffer: Recorded): Promise<Desktop> {
    const desktop = await Desktop.open('restore', box.directory, { program: coffer.program });
    await desktop.choose('Qube', 'usb');
    await desktop.type('Directory, file or command', 'backups');
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    return desktop;
  }

  it('lets a missing template be replaced, shows a refusal at its qube, and shows the result of each qube', async () => {
    using coffer = new Recorded();
    coffer.play('list', [LOOK, ASK, CONTENTS]);
    const about = { field: 'use-template', vm: 'web' };
    const refusal = 'web cannot be based on debian: there is no such template here';
    const refused = { event: 'error', ...about, sentence: refusal, exitStatus: 5 };
    coffer.play('restore', [LOOK, ASK, refused, { exit: 5 }]);
    await using desktop = await whichOne(coffer);
    await desktop.sees(/^called "in box" in the backup, .*\nIts template old-debian is neither/);
    await desktop.sees(
      /^Its home is restored to a new directory .*\nIts configuration .*: \/etc\/qubes, \/srv\.$/,
    );
    await desktop.sees(/^5\.7\sMiB$/);
    await desktop.sees('torn cannot be restored: its private volume is missing');
    await desktop.press('mail');
    await desktop.press('web');
    await desktop.sees('Choose a template for mail.');
    await desktop.choose('Template of mail', 'debian');
    // Other qubes that lack the same template get the same new one.
    await desktop.press('Next');
    await desktop.sees(new RegExp(refusal));
    expect(coffer.commands.at(-1)).toContain(
      '--use-template mail=debian --use-template web=debian',
    );

    await desktop.sees('Its net qube sys-vpn is neither here nor selected. Instead:');
    await desktop.sees('Its disposable template old-dvm is neither here nor selected. Instead:');
    await desktop.choose('Net qube of mail', 'usb');
    await desktop.press('old-debian');
    await desktop.press('Select none');
    await desktop.press('Select all');
    coffer.play('restore', [LOOK, ASK, PLAN, CONFIRM, RESULT, { exit: 1 }]);
    await desktop.press('Next');
    await desktop.sees(/^old-dvm, which web needs, is missing: go back and choose another one, /);
    await desktop.press('Back');
    await desktop.choose('Disposable template of web', 'none');
    await desktop.press('Next');
    await desktop.sees('How do you want to restore them?');
    expect(coffer.commands.at(-1)).toContain(
      '--use-netvm mail=usb --use-netvm web=usb --use-dispvm web=none',
    );
    await desktop.press('Ignore missing');
    await desktop.press('Ignore username mismatch');
    await desktop.press('Skip dom0');
    await desktop.press('Distrust settings');
    await desktop.press('Next');
    await desktop.sees(/^976/);
    await desktop.sees('its home, to a separate directory');
    await desktop.sees('its configuration, to a separate directory: /etc/qubes, /srv');
    const options = '--ignore-missing --ignore-username-mismatch --skip-dom0-home';
    expect(coffer.commands.at(-1)).toContain(` ${options} --distrust-settings `);
    expect(coffer.commands.at(-1)).toMatch(/ -- backups mail old-debian web dom0$/);
    await desktop.press('Restore');
    await desktop.sees('Not everything was restored');
    await desktop.sees('mail: restored');
    await desktop.sees('web: failed; there is no space');
    await desktop.sees(/Update old-debian before/);
  }, 120_000);

  it('shows for each backup in a directory when it was checked, what is lost, and how much was stored', async () => {
    using coffer = new Recorded();
    const found = {
      ...{ format: 'coffer-1', backupId: 'x', bytes: 1e6, qubes: ['mail', 'web'], dom0Home: false },
      ...{ kind: 'backup', storedBytes: 5e9 },
      ...{ series: 'aa', sequence: 1, card: null, problem: null },
    };
    const check = { at: '2026-11-25T12:07:00.000Z', result: 'verified' };
    coffer.play('list', [
      LOOK,
      ASK,
      Object.assign(
        { event: 'result', command: 'list', ok: true, exitStatus: 0, location: 'usb:/backups' },
        {
          backups: [
            { ...found, name: 'two', created: BACKUP.created, check: null, lost: ['web'] },
            { ...found, name: 'one', created: BACKUP.created, check, lost: [] },
            { ...found, name: 'three', kind: 'data', qubes: null, lost: [], check: null },
          ],
          ...{ freeBytes: 5e9, others: [], directories: [], truncated: false, warnings: [NEWER] },
        },
      ),
    ]);
    await using desktop = await whichOne(coffer);
    await desktop.sees('Which backup?');
    await desktop.sees(NEWER);
    await desktop.sees('never');
    await desktop.sees('data is lost: web');
    // The size that was stored for it; a file that only holds data cannot be chosen.
    await desktop.sees(/^4\.7\sGiB$/);
    const cells = (await desktop.look()).flatMap(({ name, text }) => [name, text]);
    expect(cells).toContain('two');
    expect(cells).not.toContain('three');
    // In any time zone.
    await desktop.sees(/^2026-11-2[456] \d\d:(07|22|37|52)$/);
  }, 120_000);
});
