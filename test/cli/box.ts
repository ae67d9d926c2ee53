import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { type WhenDone, smallSystem } from '../qubes/folder/small-system.ts';
import { type Run, canBeServed, runServed } from './served-coffer.ts';

export type { Run } from './served-coffer.ts';

export const PASSPHRASE = 'correct horse battery staple';
const COFFER = new URL('../../dist/coffer', import.meta.url).pathname;

/** The storage: the VM agent of `usb`, or dom0 itself, which takes half the time. */
export type Through = 'usb' | 'dom0';

/** A small folder system with the storage VM `usb`. The built coffer runs on it, in that VM's home. */
export class Box {
  readonly directory: string;
  readonly passphraseFile: string;
  readonly #through: Through;

  private constructor(directory: string, through: Through) {
    this.directory = directory;
    this.#through = through;
    this.passphraseFile = join(directory, 'passphrase');
    writeFileSync(this.passphraseFile, `${PASSPHRASE}\nanother line\n`);
  }

  /** A box with the VMs `work` and `vault`, some data in each, and a file in dom0's home. */
  static async full(whenDone?: WhenDone, through?: Through): Promise<Box> {
    const box = await Box.empty(whenDone, through);
    const system = await openFolderSystem(box.directory);
    await system.create({ ...ORDINARY, name: 'work', label: 'blue' });
    await system.create({ ...ORDINARY, name: 'vault', label: 'black' });
    for (const name of ['work', 'vault']) {
      await system.importVolume(name, 'private', 8_000_000, sampleData(), never);
      await system.setFeature(name, 'menu-items', `${name}.desktop`);
    }
    await system.setNotes('work', 'quarterly reports\n');
    await system.setFirewall('work', [new Map([['action', 'drop']])]);
    await system.setProperty('work', 'memory', '600');
    writeFileSync(join(box.home, 'letter'), 'Dear reader\n');
    return box;
  }

  /** A box with only the template `debian` and the storage VM, to restore into. */
  static async empty(whenDone?: WhenDone, through: Through = 'usb'): Promise<Box> {
    const { directory, system } = await smallSystem(whenDone);
    await system.remove('work');
    await system.create({ ...ORDINARY, name: 'usb', label: 'red' });
    await system.setProperty('usb', 'include_in_backups', 'False');
    await system.setProperty('usb', 'provides_network', 'True');
    const box = new Box(directory, through);
    mkdirSync(box.backups, { recursive: true });
    return box;
  }

  get home(): string {
    return join(this.directory, 'dom0-home/user');
  }

  get #usbHome(): string {
    return join(this.directory, 'homes/usb');
  }

  /** `~/backups` of the storage VM. */
  get backups(): string {
    return join(this.#usbHome, 'backups');
  }

  /** Runs coffer on this system, quietly and with cheap keys for a backup. */
  coffer(args: readonly string[], input = '', environment: NodeJS.ProcessEnv = {}): Run {
    const [command = '', ...rest] = args;
    return this.loud([command, '-q', ...rest], input, environment);
  }

  /** The same without `--quiet`. */
  loud(args: readonly string[], input = '', environment: NodeJS.ProcessEnv = {}): Run {
    const [command = '', ...rest] = args;
    return this.bare([command, ...this.#own(command), ...rest], input, environment);
  }

  /** Runs coffer with exactly these arguments. */
  bare(args: readonly string[], input = '', environment: NodeJS.ProcessEnv = {}): Run {
    if (input === '' && canBeServed(environment)) {
      const all = { ...process.env, ...environment };
      return runServed({ words: args, directory: this.#usbHome, environment: all });
    }
    // A session of its own has no terminal, even if the tests are run on one.
    return spawnSync('setsid', ['--wait', COFFER, ...args], {
      input,
      cwd: this.#usbHome,
      encoding: 'utf8',
      env: { ...process.env, ...environment },
      maxBuffer: 1e8,
    });
  }

  /** Runs a shell script in the storage VM, as its user would. */
  inVm(script: string): Run {
    const home = join(this.directory, 'homes/usb');
    const env = { HOME: home, PATH: process.env['PATH'] };
    return spawnSync('sh', ['-c', script], { cwd: home, env, encoding: 'utf8' });
  }

  /** Starts coffer as `coffer` does, without waiting for its end. */
  start(
    args: readonly string[],
    environment: NodeJS.ProcessEnv = {},
  ): ChildProcessByStdio<null, null, Readable> {
    const [command = '', ...rest] = args;
    return spawn(COFFER, [command, '-q', ...this.#own(command), ...rest], {
      cwd: this.#usbHome,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    });
  }

  /**
   * Makes a full backup to `usb:backups` without reading it back. Returns the path of the new backup in the storage VM's
   * home.
   */
  backUp(args: readonly string[] = []): string {
    const full = args.includes('--format') ? [] : ['--full'];
    return this.goOn([...full, '--no-check', ...args]);
  }

  /** Continues the series with an incremental backup, which is read back. Returns its path as `backUp` does. */
  goOn(args: readonly string[] = []): string {
    const run = this.coffer(['backup', ...this.where, ...this.secret, '-y', ...args, 'backups']);
    if (run.status !== 0) throw new Error(`no backup was made: ${run.stderr}`);
    return join('backups', readdirSync(this.backups).sort().at(-1) ?? '');
  }

  /** The absolute path of a backup that `backUp` has returned. */
  fileOf(backup: string): string {
    return join(this.#usbHome, backup);
  }

  /** Changes one bit in the middle of a backup. */
  damage(backup: string): void {
    const bytes = readFileSync(this.fileOf(backup));
    const middle = Math.floor(bytes.length / 2);
    bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
    writeFileSync(this.fileOf(backup), bytes);
  }

  /** Copies a backup into the storage of another system, under the same name. */
  copyTo(other: Box, backup: string): void {
    copyFileSync(this.fileOf(backup), other.fileOf(backup));
  }

  /** The options that name the storage. */
  get where(): string[] {
    return this.#through === 'usb' ? ['-d', 'usb'] : [];
  }

  get secret(): string[] {
    return ['-p', this.passphraseFile];
  }

  /** The whole system as text, except for coffer's own records and the homes of VMs. */
  get state(): string {
    const listing = spawnSync(
      'sh',
      [
        '-c',
        'find . -mindepth 1 -not -path "./homes/*" -not -path "./dom0-state*" -not -name qubes.xml -printf "%p %s %i\\n" | sort',
      ],
      {
        cwd: this.directory,
        encoding: 'utf8',
      },
    );
    return listing.stdout + readFileSync(join(this.directory, 'qubes.xml'), 'utf8');
  }

  #own(command: string): string[] {
    const cheap = command === 'backup' ? ['--kdf-cost', '14'] : [];
    return ['--system', this.directory, ...cheap];
  }
}

const never = new AbortController().signal;
const ORDINARY = { qubeClass: 'AppVM', template: 'debian', pool: undefined } as const;

async function* sampleData(): AsyncGenerator<{ offset: number; bytes: Buffer }> {
  yield await Promise.resolve({ offset: 1_000_000, bytes: randomBytes(300_000) });
  yield { offset: 5_000_000, bytes: Buffer.alloc(1_000_000, 'compressible ') };
}
