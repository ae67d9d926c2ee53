import { FailedError } from '../../../shared/errors.ts';
import { CleanupProcess } from '../../../shared/cleanup-process.ts';
import type { RunProgram } from '../../../shared/run-program.ts';
import { isOwnerGone, newOwnerName } from '../owner-names.ts';
import type { Notes } from './notes.ts';

export interface MetadataOptions {
  /** LVM's UUIDs of the volume group and of the pool, without hyphens, concatenated. */
  readonly poolUuid: string;
  readonly runAsRoot: RunProgram;
  /** See `rootPrefix`. */
  readonly rootPrefix: readonly string[];
  /** Where device nodes are. */
  readonly devices: string;
  readonly notes: Notes;
}

/** The devices of a thin pool, by their names in the device mapper. */
interface PoolDevices {
  readonly pool: string;
  readonly metadata: string;
}

/**
 * Calls `read` with the device of a thin pool's metadata while a metadata snapshot is held, in which nothing changes. A
 * pool can have only one. It is always released: if coffer is killed, by a cleanup process; if the machine went down,
 * by the next call. Throws FailedError if another program holds it.
 */
export async function whileMetadataHeld<T>(
  options: MetadataOptions,
  read: (metadata: string) => Promise<T>,
): Promise<T> {
  const { devices, runAsRoot, rootPrefix } = options;
  const found = await findDevices(options);
  const slot = new Slot(options, found.pool);
  await slot.reserve();
  const command = ['dmsetup', 'message', found.pool, '0', 'release_metadata_snap'];
  const cleanup = CleanupProcess.toRun([...rootPrefix, ...command]);
  try {
    return await read(`${devices}/mapper/${found.metadata}`);
  } finally {
    cleanup.cancel();
    await runAsRoot('dmsetup', command.slice(1));
    await slot.forget();
  }
}

/** The only metadata snapshot of a pool, and the note of who holds it. */
class Slot {
  readonly #options: MetadataOptions;
  readonly #pool: string;
  readonly #note: string;

  constructor(options: MetadataOptions, pool: string) {
    this.#options = options;
    this.#pool = pool;
    this.#note = `metadata-snapshot.${options.poolUuid}`;
  }

  async reserve(): Promise<void> {
    const { notes } = this.#options;
    const held = await this.#heldRoot();
    if (held !== undefined) await this.#releaseLeft(held);
    // Recorded first, so that its owner is known whenever this process is killed.
    const owner = await newOwnerName();
    await notes.write(this.#note, { owner });
    try {
      await this.#message('reserve_metadata_snap');
    } catch (error) {
      await this.forget();
      throw error;
    }
    const root = await this.#heldRoot();
    if (root !== undefined) await notes.write(this.#note, { owner, root });
  }

  async forget(): Promise<void> {
    await this.#options.notes.remove(this.#note);
  }

  /** Releases a snapshot that a killed coffer has left. Throws FailedError if another program holds it. */
  async #releaseLeft(held: string): Promise<void> {
    const noted = await this.#options.notes.read(this.#note);
    const isOurs = noted?.['root'] === undefined || noted['root'] === held;
    if (noted?.['owner'] === undefined || !isOurs || !(await isOwnerGone(noted['owner']))) {
      throw new FailedError(
        `another program holds the pool's metadata snapshot; if no running program needs it, release it with ` +
          `"sudo dmsetup message ${this.#pool} 0 release_metadata_snap"`,
      );
    }
    await this.#message('release_metadata_snap');
  }

  /** The block that the metadata snapshot begins with, if there is one. */
  async #heldRoot(): Promise<string | undefined> {
    const status = await this.#options.runAsRoot('dmsetup', ['status', this.#pool]);
    // <start> <length> thin-pool <transaction> <used>/<total> <used>/<total> <held root> <mode> …
    const [, , target, , , , root] = status.trim().split(/\s+/);
    if (target !== 'thin-pool' || root === undefined || !/^(-|\d+)$/.test(root)) {
      throw new FailedError(`the thin pool ${this.#pool} is not in order: ${status.trim()}`);
    }
    return root === '-' ? undefined : root;
  }

  async #message(text: string): Promise<void> {
    await this.#options.runAsRoot('dmsetup', ['message', this.#pool, '0', text]);
  }
}

/** Finds the devices. The device mapper lists LVM's volumes by UUID, and the metadata of a pool by device number. */
async function findDevices({ poolUuid, runAsRoot }: MetadataOptions): Promise<PoolDevices> {
  const columns = ['--columns', '--noheadings', '--separator', ' ', '-o', 'name,uuid,major,minor'];
  const listed = (await runAsRoot('dmsetup', ['info', ...columns])).split('\n');
  const rows = listed.map((line) => line.trim().split(' '));
  const pool = rows.find(([, uuid]) => uuid === `LVM-${poolUuid}-tpool`)?.[0];
  if (pool === undefined) throw new FailedError('its thin pool is not active');
  // <start> <length> thin-pool <metadata device> <data device> …
  const table = (await runAsRoot('dmsetup', ['table', pool])).trim().split(/\s+/);
  const number = table[3];
  const metadata = rows.find(([, , major, minor]) => `${major}:${minor}` === number)?.[0];
  if (table[2] !== 'thin-pool' || metadata === undefined) {
    throw new FailedError(`the metadata of the thin pool ${pool} cannot be found`);
  }
  return { pool, metadata };
}
