// npm run screenshots [DIRECTORY [LOOK]]: takes a picture of every page of the windows: light, dark, with high
// contrast, and in German, each at 100 % and 200 %; or only in one of these looks, such as dark-200.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Desktop } from '../../test/gui/desktop.ts';
import { Recorded } from '../../test/gui/recorded.ts';
import { SpokenDesktop } from './spoken-desktop.ts';

const PASSPHRASE = 'correct horse battery staple';
const [directory = 'dist/screenshots', only] = process.argv.slice(2);
mkdirSync(directory, { recursive: true });
for (const [name, theme, language] of [
  ['light', 'Adwaita', ''],
  ['dark', 'Adwaita:dark', ''],
  ['contrast', 'HighContrast', ''],
  ['german', 'Adwaita', 'de'],
] as const) {
  for (const scale of [1, 2]) {
    const look = `${name}-${scale}00`;
    if (only === undefined || only === look) await takeAll(look, { theme, scale, language });
  }
}

async function takeAll(name: string, look: Look): Promise<void> {
  const scratch = mkdtempSync(path.join(tmpdir(), 'coffer-screenshots-'));
  const system = path.join(scratch, 'qubes');
  const fileOf = (page: string): string => path.resolve(directory, `${page}-${name}.png`);
  try {
    execFileSync('dist/coffer', ['sandbox', system]);
    mkdirSync(path.join(system, 'homes/sys-usb/backups'), { recursive: true });
    const ofUser = { ...look, home: path.join(scratch, 'user') };
    mkdirSync(ofUser.home);
    await backUp(system, ofUser, fileOf);
    await backUpAgain(system, ofUser, fileOf);
    await chooseDevice(system, look, fileOf);
    await restore(system, look, fileOf);
    await restoreElsewhere(path.join(system, 'homes/sys-usb/backups'), look, fileOf);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

type FileOf = (page: string) => string;
interface Look {
  readonly theme: string;
  readonly scale: number;
  readonly language: string;
  /** The home directory of the user; otherwise an empty one. */
  readonly home?: string;
}

async function backUp(system: string, look: Look, fileOf: FileOf): Promise<void> {
  await using opened = await Desktop.open('backup', system, look);
  const desktop = new SpokenDesktop(opened, look.language);
  await desktop.sees('Your backups');
  await desktop.takePicture(fileOf('backup-1-state'));
  await desktop.press('Choose…');
  await desktop.sees('Which qubes do you want to back up?');
  await desktop.takePicture(fileOf('backup-2-what'));
  await desktop.press('Next');
  await desktop.choose('Target qube', 'sys-usb');
  await desktop.type('Directory or command', 'backups');
  await desktop.sees('{size} is free there.');
  await desktop.type('Passphrase', PASSPHRASE);
  await desktop.takePicture(fileOf('backup-3-where'));
  await desktop.choose('Kind of place', 'a place that a command leads to: a server, a cloud');
  await desktop.takePicture(fileOf('backup-3-where-through'));
  await desktop.choose('Kind of place', 'a directory');
  await desktop.press('Browse');
  await desktop.canPress('Choose this directory');
  await desktop.takePicture(fileOf('backup-3-where-browse'));
  await desktop.press('Choose this directory');
  await desktop.sees('{size} is free there.');
  await desktop.type('Passphrase again', PASSPHRASE);
  await desktop.press('Next');
  await desktop.sees('Is this what you want to back up?');
  await desktop.takePicture(fileOf('backup-4-review'));
  await desktop.press('Back up');
  await desktop.sees('Hide this window');
  await desktop.takePicture(fileOf('backup-5-progress'));
  await desktop.sees('The backup is complete');
  await desktop.takePicture(fileOf('backup-6-result'));
  await desktop.press('Forget old backups…');
  await desktop.sees('{n} backup, which is kept.');
  await desktop.takePicture(fileOf('backup-7-keeping'));
}

async function backUpAgain(system: string, look: Look, fileOf: FileOf): Promise<void> {
  await using opened = await Desktop.open('backup', system, look);
  const desktop = new SpokenDesktop(opened, look.language);
  await desktop.sees('Your backups');
  await desktop.takePicture(fileOf('backup-8-state-later'));
  await desktop.press('Choose…');
  await desktop.press('Next');
  await desktop.choose('Target qube', 'sys-usb');
  await desktop.type('Directory or command', 'backups');
  await desktop.type('Passphrase', PASSPHRASE);
  await desktop.press('Next');
  await desktop.sees('Is this what you want to back up?');
  await desktop.takePicture(fileOf('backup-9-review-later'));
}

/** With devices that come and go, and a backup that fails. */
async function chooseDevice(system: string, look: Look, fileOf: FileOf): Promise<void> {
  using coffer = new Recorded();
  const mounted = [
    {
      device: '/dev/sdb1',
      mountPoint: '/run/media/user/Disk',
      label: 'Disk',
      size: 9e11,
      free: 5e11,
    },
  ];
  const offered = [
    ...[
      { backend: 'sys-usb', port: 'sda', description: 'USB stick', size: 64e9, attachedTo: null },
    ],
  ];
  const places = [
    { name: 'sys-usb', class: 'AppVM', running: true },
    { name: 'vault', class: 'AppVM', running: false },
    { name: 'dom0', class: 'AdminVM', running: true },
  ];
  const devices = { event: 'result', command: 'devices', ok: true, exitStatus: 0 };
  coffer.play('devices', [{ ...devices, ...{ mounted, offered, places } }]);
  const { program, directory: programs } = coffer;
  await using opened = await Desktop.open('backup', system, { ...look, program, programs });
  const desktop = new SpokenDesktop(opened, look.language);
  await desktop.press('Continue other backups…');
  await desktop.choose('Device', 'Disk');
  await desktop.takePicture(fileOf('backup-1-other-backups'));
  await desktop.press('Back');
  await desktop.press('Choose…');
  await desktop.press('Next');
  await desktop.choose('Device', 'USB stick');
  await desktop.sees('Mount it in {qube}, then choose its directory with …');
  await desktop.type('Directory or command', 'missing');
  await desktop.sees('A backup cannot go there: see above.');
  await desktop.takePicture(fileOf('backup-3-where-device'));
  await desktop.press('Encrypt backup');
  coffer.play('devices', [{ ...devices, ...{ mounted: [], offered: [], places } }]);
  await desktop.press('Refresh');
  await desktop.choose('Target qube', 'vault');
  await desktop.sees('{qube} is not running: it will be started.');
  await desktop.type('Directory or command', 'missing');
  await desktop.sees('A backup cannot go there: see above.');
  await desktop.takePicture(fileOf('backup-3-where-device-gone'));
}

async function restore(system: string, look: Look, fileOf: FileOf): Promise<void> {
  await using opened = await Desktop.open('restore', system, look);
  const desktop = new SpokenDesktop(opened, look.language);
  await desktop.choose('Qube', 'sys-usb');
  await desktop.type('Directory, file or command', 'backups');
  await desktop.type('Passphrase', PASSPHRASE);
  await desktop.takePicture(fileOf('restore-1-where'));
  await desktop.press('Next');
  await desktop.sees('Which backup?');
  await desktop.takePicture(fileOf('restore-2-backups'));
  await desktop.press('Next');
  await desktop.sees('Which qubes do you want to restore?');
  await desktop.press('Select all');
  await desktop.sees('There is a qube called {name} here.');
  await desktop.takePicture(fileOf('restore-3-what'));
  await desktop.press('Next');
  await desktop.sees('How do you want to restore them?');
  await desktop.takePicture(fileOf('restore-4-how'));
  await desktop.press('Next');
  await desktop.sees('Is this what you want to restore?');
  await desktop.takePicture(fileOf('restore-5-review'));
  await desktop.press('Restore');
  await desktop.sees('Everything was restored');
  await desktop.takePicture(fileOf('restore-6-result'));
}

/** On a system where no qube provides network. */
async function restoreElsewhere(backups: string, look: Look, fileOf: FileOf): Promise<void> {
  const scratch = mkdtempSync(path.join(tmpdir(), 'coffer-screenshots-'));
  try {
    const system = path.join(scratch, 'qubes');
    execFileSync('dist/coffer', ['sandbox', '--empty', system]);
    const file = path.join(system, 'qubes.xml');
    const provides = '<property name="provides_network">True</property>';
    writeFileSync(file, readFileSync(file, 'utf8').replace(provides, ''));
    await using opened = await Desktop.open('restore', system, look);
    const desktop = new SpokenDesktop(opened, look.language);
    await desktop.choose('Qube', 'dom0');
    await desktop.type('Directory, file or command', backups);
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.sees('Which backup?');
    await desktop.press('Next');
    await desktop.sees('Which qubes do you want to restore?');
    await opened.press('work');
    await desktop.sees('Its net qube {name} is neither here nor selected. Instead:');
    await desktop.takePicture(fileOf('restore-3-what-missing'));
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
