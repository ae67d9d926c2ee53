import { link, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GiB, MiB } from '../../shared/sizes.ts';
import { type Setting, cofferBackup } from './coffer.ts';
import { makeFilesystem, makeIncompressible, makeMixture } from './images.ts';
import { measure } from './measure.ts';
import { BACKUPS, makeSystem } from './systems.ts';

/** A low cost of key derivation, for backups where something else is measured. */
export const CHEAP_KEYS = ['--kdf-cost', '14'] as const;

/** The images that are backed up, by name. */
const IMAGES: Readonly<Record<string, (path: string, name: string) => Promise<void>>> = {
  files: (path, name) => makeFilesystem(path, name, 2 * GiB, 0.5 * GiB),
  short: (path, name) => makeFilesystem(path, name, 256 * MiB, 128 * MiB),
  sparse: (path, name) => makeFilesystem(path, name, 10 * GiB, 0.5 * GiB),
  bulk: (path, name) => makeIncompressible(path, name, 2 * GiB),
  daily: (path, name) => makeFilesystem(path, name, 512 * MiB, 256 * MiB),
  watched: (path, name) => makeFilesystem(path, name, 512 * MiB, 256 * MiB),
  worn: (path, name) => makeFilesystem(path, name, 2 * GiB, 0.5 * GiB),
  tiny: (path, name) => makeMixture(path, name, 10e6),
  big: (path, name) => makeMixture(path, name, 1e9),
  files1: (path, name) => makeFilesystem(path, name, 1 * GiB, 0.25 * GiB),
  files4: (path, name) => makeFilesystem(path, name, 4 * GiB, 1 * GiB),
  files8: (path, name) => makeFilesystem(path, name, 8 * GiB, 2 * GiB),
};

/** A directory with everything that the rows of a benchmark work on. Each thing is made when it is first needed. */
export class World implements Setting, AsyncDisposable {
  readonly directory: string;
  readonly #made = new Map<string, Promise<void>>();
  readonly #atEnd: (() => void)[] = [];

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async make(parent = tmpdir()): Promise<World> {
    const world = new World(await mkdtemp(join(parent, 'coffer-bench-')));
    await writeFile(world.passphraseFile, 'correct horse battery staple\n', { mode: 0o600 });
    return world;
  }

  get passphraseFile(): string {
    return join(this.directory, 'passphrase');
  }

  /** A path in the directory. */
  place(name: string): string {
    return join(this.directory, name);
  }

  /** The path of one of IMAGES, which is made if necessary. */
  async image(name: string): Promise<string> {
    const path = this.place(`${name}.img`);
    await this.#once(path, async () => {
      const make = IMAGES[name];
      if (make === undefined) throw new RangeError(`there is no image ${name}`);
      await make(path, name);
    });
    return path;
  }

  /** The directory of a system with a VM for each of `images`, by the VM's name. */
  async system(name: string, images: Readonly<Record<string, string>>): Promise<string> {
    const directory = this.place(name);
    await this.#once(directory, async () => {
      const paths = new Map<string, string>();
      for (const [vm, image] of Object.entries(images)) paths.set(vm, await this.image(image));
      await makeSystem(directory, paths);
    });
    return directory;
  }

  /** A directory with the files of a backup of all VMs of such a system; the one to name is called `backup`. */
  async backup(
    name: string,
    images: Readonly<Record<string, string>>,
    options: readonly string[],
  ): Promise<string> {
    const directory = this.place(`${name}.backup`);
    await this.#once(directory, async () => {
      const system = await this.system(name, images);
      await measure(cofferBackup(this, system, Object.keys(images), options));
      await mkdir(directory);
      for (const file of await readdir(join(system, BACKUPS))) {
        const isData = file.startsWith('qubes-data-');
        await link(join(system, BACKUPS, file), join(directory, isData ? file : 'backup'));
      }
      await this.removeBackups(system);
    });
    return directory;
  }

  /** Makes a new, empty system in `directory`, with the files of a backup in its storage VM. */
  async systemToRestoreInto(directory: string, backup: string): Promise<void> {
    await rm(directory, { recursive: true, force: true });
    await makeSystem(directory);
    for (const file of await readdir(backup)) {
      await link(join(backup, file), join(directory, BACKUPS, file));
    }
  }

  /** Registers a function that is called before everything is removed. */
  atEnd(cleanUp: () => void): void {
    this.#atEnd.push(cleanUp);
  }

  async removeBackups(system: string): Promise<void> {
    await rm(join(system, BACKUPS), { recursive: true });
    await mkdir(join(system, BACKUPS));
  }

  async #once(name: string, make: () => Promise<void>): Promise<void> {
    const made = this.#made.get(name) ?? make();
    this.#made.set(name, made);
    await made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cleanUp of this.#atEnd) cleanUp();
    await rm(this.directory, { recursive: true, force: true });
  }
}
