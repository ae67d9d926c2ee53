/**
 * Shows coffer's main job on a sample Qubes system: backing up through a VM agent, verifying, restoring into another
 * system, and comparing. Runs the built programs as a user would; ends with `demo: OK`.
 */
import { spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, open, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { differencesOf } from './compare.ts';

const COFFER = new URL('../../dist/coffer', import.meta.url).pathname;
const VMS = ['work', 'vault', 'dev-box'];

const scratch = await mkdtemp(join(tmpdir(), 'coffer-demo-'));
process.chdir(scratch);
try {
  await demo();
} finally {
  await rm(scratch, { recursive: true, force: true });
}

async function demo(): Promise<void> {
  await writeFile('passphrase', 'correct horse battery staple\n', { mode: 0o600 });
  const inSysUsb = ['-d', 'sys-usb', '-p', 'passphrase'];

  title('Two Qubes systems, played by directories: one to back up, an empty one to restore into');
  coffer('sandbox', 'old');
  coffer('sandbox', '--empty', 'new');

  title(`Backing up ${VMS.join(', ')} and dom0's home to ~/backups in the VM sys-usb`);
  coffer('backup', '--system', 'old', ...inSysUsb, '-y', 'backups', ...VMS, 'dom0');
  const backup = join('backups', await newBackup('old/homes/sys-usb/backups'));

  title('Listing and verifying it');
  coffer('list', '--system', 'old', ...inSysUsb, backup);
  coffer('verify', '--system', 'old', ...inSysUsb, backup);

  title('Carrying the backup to the new system and restoring all of it');
  const [inOld, inNew] = [join('old/homes/sys-usb', backup), join('new/homes/sys-usb', backup)];
  await copyFile(inOld, inNew);
  coffer('restore', '--system', 'new', ...inSysUsb, '-y', backup);

  title('Comparing every volume bit by bit, every setting and every file of the home');
  const differences = await differencesOf('old', 'new', VMS);
  if (differences.length > 0)
    throw new Error(`the restored system differs: ${differences.join('; ')}`);
  say(`No difference in ${VMS.join(', ')} and dom0's home.`);

  title('Backing up once more, through a command in sys-usb: cat > by-command');
  const toCommand = ['-y', '--command', 'cat > by-command'];
  coffer('backup', '--system', 'old', ...inSysUsb, ...toCommand, ...VMS);
  coffer('verify', '--system', 'old', ...inSysUsb, '--command', 'cat by-command');

  title('What must be refused is refused');
  await writeFile('wrong', 'incorrect horse\n', { mode: 0o600 });
  refused(3, 'verify', '--system', 'old', '-d', 'sys-usb', '-p', 'wrong', backup);
  await flipOneByte(inOld);
  await copyFile(inOld, inNew);
  refused(3, 'verify', '--system', 'old', ...inSysUsb, backup);
  const before = await readFile('new/qubes.xml', 'utf8');
  refused(3, 'restore', '--system', 'new', ...inSysUsb, '--rename-conflicting', '-y', backup);
  const after = await readFile('new/qubes.xml', 'utf8');
  if (before !== after) throw new Error('the refused restore left something behind');
  say('The new system is as it was before.');
  console.log('\ndemo: OK');
}

function title(text: string): void {
  console.log(`\n== ${text}`);
}

function say(text: string): void {
  console.log(text);
}

/** Runs coffer, showing what it prints and how long it took. */
function coffer(...args: string[]): void {
  say(`$ coffer ${args.map(quoted).join(' ')}`);
  const begun = Date.now();
  const { status } = spawnSync(COFFER, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`coffer ended with the exit status ${status ?? 'of a signal'}`);
  say(`(${((Date.now() - begun) / 1000).toFixed(1)} s)`);
}

/** Runs coffer, which must end with the exit status `expected`. */
function refused(expected: number, ...args: string[]): void {
  say(`$ coffer ${args.map(quoted).join(' ')}`);
  const { status, stderr } = spawnSync(COFFER, args, { encoding: 'utf8' });
  say(`${stderr.trim()}\n(exit status ${status ?? 'of a signal'})`);
  if (status !== expected) throw new Error(`the exit status should have been ${expected}`);
}

/** An argument as it is typed in a shell. */
function quoted(arg: string): string {
  return /\s/.test(arg) ? `'${arg}'` : arg;
}

/** The name of the only backup in a directory, which may also contain a recovery kit. */
async function newBackup(directory: string): Promise<string> {
  const [name, ...more] = (await readdir(directory)).filter((each) => /T\d{6}$/.test(each));
  if (name === undefined || more.length > 0) throw new Error('there should be one backup');
  return name;
}

async function flipOneByte(path: string): Promise<void> {
  const middle = Math.floor((await stat(path)).size / 2);
  const byte = (await readFile(path)).subarray(middle, middle + 1);
  await using file = await open(path, 'r+');
  await file.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, middle);
}
