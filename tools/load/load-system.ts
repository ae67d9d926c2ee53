import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type FolderSystem,
  openFolderSystem,
} from '../../dom0-agent/qubes/folder/folder-system.ts';
import { BARE_STORE } from '../../dom0-agent/qubes/sandbox/sample-qubes.ts';
import { formatQubesXml } from '../../dom0-agent/qubes/xml/format-qubes-xml.ts';
import { type Observed, observe } from './observe.ts';

/** A folder system to put load on, with the storage VM `usb`. */
export class LoadSystem implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'coffer-load-'));

  private constructor() {
    mkdirSync(this.backups, { recursive: true });
    mkdirSync(join(this.directory, 'dom0-home/user'), { recursive: true });
    writeFileSync(join(this.directory, 'passphrase'), 'correct horse battery staple\n');
    writeFileSync(join(this.directory, 'qubes.xml'), formatQubesXml(BARE_STORE));
  }

  static async make(): Promise<LoadSystem> {
    const made = new LoadSystem();
    const system = await made.open();
    const common = { pool: undefined, label: 'red' } as const;
    await system.create({
      ...common,
      name: 'debian',
      qubeClass: 'TemplateVM',
      template: undefined,
    });
    await system.create({ ...common, name: 'usb', qubeClass: 'AppVM', template: 'debian' });
    return made;
  }

  open(): Promise<FolderSystem> {
    return openFolderSystem(this.directory);
  }

  get backups(): string {
    return join(this.directory, 'homes/usb/backups');
  }

  /** The path of the newest backup, relative to the storage VM's home. */
  get newestBackup(): string {
    return join('backups', readdirSync(this.backups).sort().at(-1) ?? '');
  }

  imageOf(qube: string): string {
    return join(this.directory, 'appvms', qube, 'private.img');
  }

  coffer(command: string, ...args: readonly string[]): Promise<Observed> {
    const secret = ['-p', join(this.directory, 'passphrase')];
    const own = command === 'backup' ? ['-y', '--kdf-cost', '14'] : [];
    const yes = command === 'restore' ? ['-y'] : [];
    return observe([
      command,
      '--system',
      this.directory,
      '-d',
      'usb',
      '-q',
      ...secret,
      ...own,
      ...yes,
      ...args,
    ]);
  }

  /** Adds empty AppVMs. */
  async addQubes(names: readonly string[]): Promise<void> {
    const system = await this.open();
    for (const name of names) {
      await system.create({
        name,
        qubeClass: 'AppVM',
        label: 'red',
        template: 'debian',
        pool: undefined,
      });
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true });
  }
}
