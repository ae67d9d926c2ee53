import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type FolderSystem,
  openFolderSystem,
} from '../../dom0-agent/qubes/folder/folder-system.ts';
import { BARE_STORE } from '../../dom0-agent/qubes/sandbox/sample-qubes.ts';
import { formatQubesXml } from '../../dom0-agent/qubes/xml/format-qubes-xml.ts';
import { makeImportService, makeQrexecClient } from '../../test/qubesd/programs.ts';
import { Qubesd } from '../../test/qubesd/server.ts';
import { parseStore } from '../../test/qubesd/store.ts';

export type WorldKind = 'folder' | 'qubesd';
export type Job = 'backup' | 'restore';

/** How a run of coffer is started. */
export interface CommandLine {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

const PROGRAMS = new URL('../../dist/', import.meta.url).pathname;
const MiB = 2 ** 20;
const VOLUME_SIZE = 16 * MiB;
const LARGEST_HASHED = 64 * MiB;
/** Where coffer notes which backups were made and verified. */
const RECORD = 'system/dom0-state';
/** The size of a world's file system: some five times what is in it. */
const WORLD_SIZE = 256 * MiB;

/**
 * A small Qubes system to try faults on: the storage VM `usb`, and the VMs `work` and `vault`, which are
 * backed up, and restored under the names `work-1` and `vault-1`. It is a folder system; for the kind
 * `qubesd`, coffer uses it through doubles of qubesd, qrexec-client, the import service and LVM.
 */
export class World implements AsyncDisposable {
  readonly kind: WorldKind;
  /** Everything is in here; if possible, a separate file system. */
  readonly directory: string;
  readonly hasOwnFileSystem: boolean;
  #qubesd: Qubesd | undefined;
  #volumeGroup: string | undefined;
  readonly #kept = new Map<string, Buffer>();

  private constructor(kind: WorldKind) {
    this.kind = kind;
    this.directory = mkdtempSync(join(tmpdir(), 'coffer-faults-'));
    this.hasOwnFileSystem = mountMemory(this.directory);
  }

  static async make(kind: WorldKind): Promise<World> {
    const world = new World(kind);
    await world.#fill();
    if (kind === 'qubesd') await world.#startQubesd();
    return world;
  }

  get system(): string {
    return join(this.directory, 'system');
  }

  /** The directory of the storage VM in which backups are stored. */
  get backups(): string {
    return join(this.system, 'homes/usb/backups');
  }

  get home(): string {
    return join(this.system, 'dom0-home/user');
  }

  /** The backup that is restored. */
  get master(): string {
    return join(this.system, 'homes/usb/master');
  }

  get qubesd(): Qubesd | undefined {
    return this.#qubesd;
  }

  imageOf(qube: string): string {
    return join(this.system, 'appvms', qube, 'private.img');
  }

  /** The command that makes a backup, or restores or verifies `file`. */
  command(job: Job | 'verify', file = 'master'): CommandLine {
    const common = ['-d', 'usb', '-p', join(this.directory, 'passphrase')];
    const words = {
      backup: ['backup', ...common, '-y', '--kdf-cost', '14', 'backups', 'work', 'vault', 'dom0'],
      restore: ['restore', ...common, '-y', '--rename-conflicting', file],
      verify: ['verify', ...common, file],
    }[job];
    return this.coffer(words);
  }

  /** The command that runs coffer with these arguments. */
  coffer(words: readonly string[]): CommandLine {
    return { argv: [join(PROGRAMS, 'coffer'), ...words], env: this.#environment() };
  }

  #environment(): NodeJS.ProcessEnv {
    const own = {
      PATH: `${join(this.directory, 'bin')}:${process.env['PATH'] ?? ''}`,
      // coffer and the doubles start other programs in this directory.
      PWD: this.directory,
    };
    if (this.#qubesd === undefined) return { ...process.env, ...own, COFFER_SYSTEM: this.system };
    return {
      ...process.env,
      ...own,
      COFFER_QUBESD_SOCKET: this.#qubesd.socketPath,
      COFFER_STATE: join(this.directory, RECORD),
      COFFER_QREXEC_CLIENT: join(this.directory, 'bin/qrexec-client'),
      COFFER_IMPORT_SERVICE: join(this.directory, 'bin/admin.vm.volume.ImportWithSize'),
    };
  }

  /**
   * Everything that there is, except the record of backups: files by their paths, VMs by their names, each described as
   * text.
   */
  async things(): Promise<Map<string, string>> {
    return new Map([...this.#files(''), ...(await this.#qubes())]);
  }

  *#files(path: string): Generator<[string, string]> {
    for (const entry of readdirSync(join(this.directory, path), { withFileTypes: true })) {
      const inner = path === '' ? entry.name : `${path}/${entry.name}`;
      if (inner === RECORD) continue;
      if (entry.isDirectory()) yield* this.#files(inner);
      else if (entry.isFile() && inner !== 'system/qubes.xml') yield [inner, this.#describe(inner)];
    }
  }

  #describe(path: string): string {
    const { size, mode, blocks, mtimeMs } = lstatSync(join(this.directory, path));
    // The images of the template are gigabytes of holes.
    if (size > LARGEST_HASHED) return `${size} ${mode.toString(8)} ${blocks} ${mtimeMs}`;
    const sha256 = createHash('sha256').update(readFileSync(join(this.directory, path)));
    return `${size} ${mode.toString(8)} ${sha256.digest('hex')}`;
  }

  /** Everything about each VM, except the time of its last backup. */
  async #qubes(): Promise<[string, string][]> {
    const qubes =
      this.#qubesd === undefined
        ? await (await this.#folder()).qubes()
        : [...this.#qubesd.store.qubes.values()];
    return qubes.map((qube) => {
      const properties = new Map(qube.properties);
      properties.delete('backup_timestamp');
      return [`VM ${qube.name}`, asText({ ...qube, properties })];
    });
  }

  #folder(): Promise<FolderSystem> {
    return openFolderSystem(this.system);
  }

  /** Removes a VM that was restored, as the user would. */
  async remove(qube: string): Promise<void> {
    if (this.#qubesd === undefined) {
      await (await this.#folder()).remove(qube);
    } else {
      this.#qubesd.store.qubes.delete(qube);
    }
    rmSync(join(this.system, 'appvms', qube), { recursive: true, force: true });
  }

  /** Keeps a copy of a file that is going to be damaged. */
  remember(file: string): void {
    this.#kept.set(file, readFileSync(file));
  }

  /** Restores the damaged files. */
  putBack(): void {
    for (const [file, bytes] of this.#kept) writeFileSync(file, bytes);
    this.#kept.clear();
  }

  async #fill(): Promise<void> {
    mkdirSync(this.backups, { recursive: true });
    mkdirSync(join(this.directory, 'bin'));
    mkdirSync(join(this.home, 'notes'), { recursive: true });
    writeFileSync(join(this.home, 'notes/letter'), randomBytes(300_000));
    writeFileSync(join(this.home, '.profile'), 'EDITOR=ed\n');
    writeFileSync(join(this.directory, 'passphrase'), 'correct horse battery staple\n');
    writeFileSync(join(this.system, 'qubes.xml'), formatQubesXml(BARE_STORE));
    const folder = await this.#folder();
    const common = { label: 'red', pool: undefined } as const;
    await folder.create({
      ...common,
      name: 'debian',
      qubeClass: 'TemplateVM',
      template: undefined,
    });
    for (const name of ['usb', 'work', 'vault']) {
      await folder.create({ ...common, name, qubeClass: 'AppVM', template: 'debian' });
      await folder.importVolume(name, 'private', VOLUME_SIZE, sampleData(), NEVER);
      await folder.setNotes(name, `notes of ${name}\n`);
      await folder.setFeature(name, 'menu-items', `${name}.desktop`);
      await folder.setTag(name, 'mine');
    }
  }

  async #startQubesd(): Promise<void> {
    const bin = join(this.directory, 'bin');
    const store = parseStore(readFileSync(join(this.system, 'qubes.xml'), 'utf8'));
    const pool = store.pools.get('varlibqubes') ?? new Map<string, string>();
    store.pools.set('varlibqubes', pool.set('dir_path', this.system));
    for (const qube of store.qubes.values()) qube.notes = `notes of ${qube.name}\n`;
    const usb = store.qubes.get('usb');
    if (usb !== undefined) usb.state = 'Running';
    this.#volumeGroup = showDevices(join(this.system, 'appvms'));
    if (this.#volumeGroup !== undefined) {
      pool.set('driver', 'lvm_thin').set('volume_group', this.#volumeGroup);
      for (const { volumes } of store.qubes.values()) {
        for (const volume of volumes.values()) {
          volume.vid = volume.vid.replace('appvms/', `${this.#volumeGroup}/`);
        }
      }
    }
    const socketPath = join(this.directory, 'qubesd.sock');
    this.#qubesd = await new Qubesd({ store, socketPath }).start();

    makeImportService(bin, socketPath);
    const homes = { usb: join(this.system, 'homes/usb') };
    makeQrexecClient(bin, { socketPath, services: { usb: bin }, homes });
    for (const service of ['Store', 'Fetch', 'Browse']) {
      const agent = `'${process.execPath}' '${PROGRAMS}coffer-vm-agent'`;
      script(join(bin, `coffer.${service}`), `exec ${agent} ${service}`);
    }
    script(join(bin, 'lvm'), LVM.replaceAll('IMAGES', join(this.system, 'appvms')));
    script(join(bin, 'sudo'), SUDO);
    script(join(bin, 'getent'), GETENT.replaceAll('HOME', this.home));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#qubesd?.stop();
    if (this.#volumeGroup !== undefined) rmSync(join('/dev', this.#volumeGroup));
    if (this.hasOwnFileSystem) execFileSync('umount', ['--lazy', this.directory]);
    rmSync(this.directory, { recursive: true });
  }
}

/** A double of lvm(8). A snapshot is a hard link to the image, and so appears among the files. */
const LVM = `
for last; do true; done
case $1 in
lvcreate) for word; do case $word in --name=*) name=\${word#--name=*/}; esac; done
  exec ln "IMAGES/\${last#*/}.img" "IMAGES/$name" ;;
lvremove) exec rm "IMAGES/\${last#*/}" ;;
lvs) cd IMAGES && exec find . -name '*-snap' -printf '  %P\\n' ;;
esac`;

/**
 * A double of sudo: for an ordinary user, coffer runs some programs with sudo, but nothing in this world needs root.
 */
const SUDO = `
while [ "$1" = -n ] || [ "$1" = -- ]; do shift; done
exec "$@"`;

const GETENT = `
case $1 in
group) echo qubes:x:98:user ;;
passwd) echo user:x:1000:1000::HOME:/bin/bash ;;
esac`;

const NEVER = new AbortController().signal;

async function* sampleData(): AsyncGenerator<{ offset: number; bytes: Buffer }> {
  yield await Promise.resolve({ offset: MiB, bytes: randomBytes(5 * MiB) });
  yield { offset: 10 * MiB, bytes: Buffer.alloc(4 * MiB, 'compressible ') };
}

function script(path: string, text: string): void {
  writeFileSync(path, `#!/bin/sh\n${text.trim()}\n`, { mode: 0o755 });
}

/** Makes the images look like the devices of a volume group, and returns its name; undefined unless run by root. */
function showDevices(images: string): string | undefined {
  const name = `coffer-faults-${randomBytes(4).toString('hex')}`;
  try {
    symlinkSync(images, join('/dev', name));
    return name;
  } catch {
    return undefined;
  }
}

/** Mounts a file system in memory. Returns whether that worked: only root can. */
function mountMemory(directory: string): boolean {
  try {
    const options = `size=${WORLD_SIZE}`;
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'coffer-faults', directory], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}

/** The value as JSON, with sets and maps written out. */
function asText(value: unknown): string {
  return JSON.stringify(value, (key, inner: unknown) => {
    // The space that an image takes says nothing about its content.
    if (key === 'usage') return undefined;
    return inner instanceof Map || inner instanceof Set
      ? [...(inner as Set<unknown>)].sort()
      : inner;
  });
}
