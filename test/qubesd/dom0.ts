import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { type Run, canBeServed, runServedMeanwhile } from '../cli/served-coffer.ts';
import type { Qubesd } from './server.ts';
import { makeImportService, makeQrexecClient, makeSudo, type QrexecSettings } from './programs.ts';
import { makeScene, type Scene } from './scene.ts';
import type { StoredVolume } from './store.ts';
import { imagePath } from './volumes.ts';

export type { Run } from '../cli/served-coffer.ts';

const built = (name: string) => fileURLToPath(new URL(`../../dist/${name}`, import.meta.url));

/** The storage VM of the scenes, which runs the built agent. */
export const STORAGE_VM = 'sys-net';

/**
 * A whole dom0 for the built coffer: the double of qubesd, sudo, the import service, qrexec-client, the
 * storage VM `sys-net` with the built VM agent, and dom0's user with a home.
 */
export class Dom0 implements AsyncDisposable {
  readonly scene: Scene;
  readonly home: string;
  /** The home of the storage VM's user. */
  readonly storage: string;
  readonly #passphraseFile: string;

  private constructor(scene: Scene, storage: string) {
    this.scene = scene;
    this.storage = storage;
    this.home = join(scene.directory, 'home/someone');
    mkdirSync(this.home, { recursive: true });
    mkdirSync(storage, { recursive: true });
    this.#passphraseFile = join(scene.directory, 'passphrase');
    writeFileSync(this.#passphraseFile, 'correct horse\n');
    this.#writeScript(
      'getent',
      `case "$*" in
  "group qubes") echo qubes:x:98:someone ;;
  "passwd someone") echo someone:x:1000:1000::${this.home}:/bin/bash ;;
  *) exit 2 ;;
esac`,
    );
    makeSudo(scene.directory);
    this.setQrexec();
  }

  /** @param storage a home for the storage VM that another dom0 has used */
  static async make(storage?: string): Promise<Dom0> {
    const scene = await makeScene();
    for (const { volumes } of scene.qubesd.store.qubes.values()) {
      for (const volume of volumes.values()) if (volume.saveOnStop) volume.size = 4_000_000;
    }
    const dom0 = new Dom0(scene, storage ?? join(scene.directory, 'storage'));
    for (const name of scene.qubesd.store.qubes.keys()) dom0.fillVolumes(name);
    return dom0;
  }

  get qubesd(): Qubesd {
    return this.scene.qubesd;
  }

  /** Changes how qrexec and the storage VM behave from now on. */
  setQrexec(faults: Partial<QrexecSettings> = {}): void {
    const services = join(this.scene.directory, 'qubes-rpc');
    mkdirSync(services, { recursive: true });
    for (const service of ['Store', 'Fetch', 'Browse']) {
      const path = join(services, `coffer.${service}`);
      const agent = `'${process.execPath}' '${built('coffer-vm-agent')}'`;
      writeFileSync(path, `#!/bin/sh\nexec ${agent} ${service}\n`);
      chmodSync(path, 0o755);
    }
    makeQrexecClient(this.scene.directory, {
      socketPath: this.qubesd.socketPath,
      services: { [STORAGE_VM]: services },
      homes: { [STORAGE_VM]: this.storage },
      ...faults,
    });
  }

  /** Runs the built coffer, with cheap keys for a backup, and with this passphrase. */
  async coffer(args: readonly string[], options: { fullAfter?: number } = {}): Promise<Run> {
    if (canBeServed({})) {
      const environment = this.environment(options);
      return runServedMeanwhile({ words: this.words(args), directory: process.cwd(), environment });
    }
    const child = this.start(args, options);
    const [stdout, stderr, status] = await Promise.all([
      child.stdout === null ? '' : text(child.stdout),
      child.stderr === null ? '' : text(child.stderr),
      new Promise<number | null>((resolve) => child.once('close', resolve)),
    ]);
    return { status, stdout, stderr };
  }

  /** Starts coffer as `coffer` does, without waiting for its end. */
  start(args: readonly string[], options: { fullAfter?: number } = {}): ChildProcess {
    return spawn(built('coffer'), this.words(args), {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: this.environment(options),
    });
  }

  words([command = '', ...rest]: readonly string[]): string[] {
    const cheap = command === 'backup' ? ['--kdf-cost', '14'] : [];
    const secret = ['devices', 'status'].includes(command) ? [] : ['-p', this.#passphraseFile];
    return [command, ...secret, ...cheap, ...rest];
  }

  environment({ fullAfter }: { fullAfter?: number } = {}): NodeJS.ProcessEnv {
    const { directory } = this.scene;
    const { socketPath } = this.qubesd;
    return {
      ...process.env,
      PATH: `${directory}:${process.env['PATH'] ?? ''}`,
      HOME: this.home,
      COFFER_QUBESD_SOCKET: socketPath,
      // Not this machine's own.
      COFFER_STATE: join(directory, 'state'),
      COFFER_QREXEC_CLIENT: join(directory, 'qrexec-client'),
      COFFER_IMPORT_SERVICE: makeImportService(directory, socketPath, fullAfter),
    };
  }

  /** Backs up to the storage VM's home; returns the name of the backup there. */
  async backUp(...qubes: string[]): Promise<string> {
    const run = await this.coffer(['backup', '-d', STORAGE_VM, '-y', '.', ...qubes]);
    if (run.status !== 0) throw new Error(`no backup was made: ${run.stderr}`);
    return this.stored().at(-1) ?? '';
  }

  /** The files in the storage VM's home. */
  stored(): string[] {
    return readdirSync(this.storage).sort();
  }

  /** The names of all VMs but dom0. */
  names(): string[] {
    return [...this.qubesd.store.qubes.keys()].filter((name) => name !== 'dom0').sort();
  }

  volume(name: string, volume: string): StoredVolume {
    const found = this.qubesd.store.qubes.get(name)?.volumes.get(volume);
    if (found === undefined) throw new Error(`${name} has no volume ${volume}`);
    return found;
  }

  image(name: string, volume: string): string {
    return imagePath(this.qubesd.store, this.volume(name, volume));
  }

  /** Writes some content, with holes, into the saved volumes of a VM. */
  fillVolumes(name: string): void {
    for (const [volume, { saveOnStop, size }] of this.qubesd.store.qubes.get(name)?.volumes ?? []) {
      if (!saveOnStop) continue;
      const path = this.image(name, volume);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, `the volume ${volume} of ${name} `.repeat(10_000));
      truncateSync(path, size);
    }
  }

  sha256(name: string, volume: string): string {
    return createHash('sha256')
      .update(readFileSync(this.image(name, volume)))
      .digest('hex');
  }

  /** The files in the pool. */
  poolFiles(): string[] {
    const pool = join(this.scene.directory, 'pool');
    return readdirSync(pool, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  }

  #writeScript(name: string, script: string): void {
    const path = join(this.scene.directory, name);
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.scene[Symbol.asyncDispose]();
  }
}
