/**
 * coffer's main job on a sample Qubes system: back up through a VM agent, verify, restore into another
 * system, compare. Runs the built programs as a user would; ends with `demo: OK`.
 */
import { execFile, spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { formatSize } from '../shared/sizes.ts';
import { differencesOf } from './compare.ts';

const COFFER = new URL('../dist/coffer', import.meta.url).pathname;
const VMS = ['work', 'vault', 'dev-box'];
const run = promisify(execFile);

const scratch = await mkdtemp(join(tmpdir(), 'coffer-demo-'));
try {
  await demo(scratch);
} finally {
  await rm(scratch, { recursive: true, force: true });
}

async function demo(directory: string): Promise<void> {
  const old = join(directory, 'old');
  const fresh = join(directory, 'new');
  const passphraseFile = join(directory, 'passphrase');
  await writeFile(passphraseFile, 'correct horse battery staple\n', { mode: 0o600 });
  const withPassphrase = ['-p', passphraseFile];

  title('Two Qubes systems, played by directories: one to back up, an empty one to restore into');
  await coffer(['sandbox', old]);
  await coffer(['sandbox', '--empty', fresh]);

  title(`Backing up ${VMS.join(', ')} and dom0's home to ~/backups in the VM sys-usb`);
  const made = await cofferJson<{ path: string }>([
    ...['backup', '--system', old, '-d', 'sys-usb', ...withPassphrase, '-y'],
    ...['backups', ...VMS, 'dom0'],
  ]);
  const backup = join('backups', made.path.split('/').at(-1) ?? '');
  say(`The VM agent stored ${await sizeOf(join(old, 'homes/sys-usb', backup))} of ciphertext.`);

  title('Listing and verifying it');
  const inSysUsb = ['-d', 'sys-usb', ...withPassphrase];
  await coffer(['list', '--system', old, ...inSysUsb, backup]);
  await coffer(['verify', '--system', old, ...inSysUsb, backup]);

  title('Carrying the backup to the new system and restoring all of it');
  await copyFile(join(old, 'homes/sys-usb', backup), join(fresh, 'homes/sys-usb', backup));
  await coffer(['restore', '--system', fresh, ...inSysUsb, '-y', backup]);

  title('Comparing every volume bit by bit, every setting and every file of the home');
  const differences = await differencesOf(old, fresh, VMS);
  if (differences.length > 0)
    throw new Error(`the restored system differs: ${differences.join('; ')}`);
  say(`No difference in ${VMS.join(', ')} and dom0's home.`);

  title('Backing up once more, through a command in sys-usb: cat > by-command');
  await coffer([
    ...['backup', '--system', old, '-d', 'sys-usb', '--command', ...withPassphrase, '-y'],
    ...['cat > by-command', ...VMS],
  ]);
  await coffer(['verify', '--system', old, ...inSysUsb, '--command', 'cat by-command']);

  title('What must be refused is refused');
  const wrong = join(directory, 'wrong');
  await writeFile(wrong, 'incorrect horse\n', { mode: 0o600 });
  await refused(['verify', '--system', old, '-d', 'sys-usb', '-p', wrong, backup], 3);
  await flipOneByte(join(old, 'homes/sys-usb', backup));
  await copyFile(join(old, 'homes/sys-usb', backup), join(fresh, 'homes/sys-usb', backup));
  await refused(['verify', '--system', old, ...inSysUsb, backup], 3);
  const before = await readFile(join(fresh, 'qubes.xml'), 'utf8');
  await refused(
    ['restore', '--system', fresh, ...inSysUsb, '--rename-conflicting', '-y', backup],
    3,
  );
  const after = await readFile(join(fresh, 'qubes.xml'), 'utf8');
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
async function coffer(args: string[]): Promise<void> {
  say(`$ coffer ${args.map(shown).join(' ')}`);
  const begun = Date.now();
  const { status } = spawnSync(COFFER, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) throw new Error(`coffer ended with the exit status ${status ?? 'of a signal'}`);
  say(`(${((Date.now() - begun) / 1000).toFixed(1)} s)`);
  return Promise.resolve();
}

/** Runs coffer with `--json` and gives its result. */
async function cofferJson<Result>(args: string[]): Promise<Result> {
  say(`$ coffer ${args.map(shown).join(' ')} --json`);
  const { stdout } = await run(COFFER, [...args, '--json']);
  say(stdout.trim());
  return JSON.parse(stdout) as Result;
}

/** Runs coffer, which must end with the exit status `expected`. */
async function refused(args: string[], expected: number): Promise<void> {
  say(`$ coffer ${args.map(shown).join(' ')}`);
  const { status, stderr } = spawnSync(COFFER, args, { encoding: 'utf8' });
  say(`${stderr.trim()}\n(exit status ${status ?? 'of a signal'})`);
  if (status !== expected) throw new Error(`the exit status should have been ${expected}`);
  return Promise.resolve();
}

/** An argument as it would be typed, without the scratch directory's long name. */
function shown(arg: string): string {
  const short = arg.replace(scratch, '/demo');
  return /\s/.test(short) ? `'${short}'` : short;
}

async function sizeOf(path: string): Promise<string> {
  return formatSize((await stat(path)).size);
}

async function flipOneByte(path: string): Promise<void> {
  const middle = Math.floor((await stat(path)).size / 2);
  const byte = (await readFile(path)).subarray(middle, middle + 1);
  await using file = await open(path, 'r+');
  await file.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, middle);
}
