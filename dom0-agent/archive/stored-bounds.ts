import { DamagedError } from '../../shared/errors.ts';
import { KiB, MiB } from '../../shared/sizes.ts';

/** qubes.xml and coffer's manifest, which lie in no directory, have 16 and 64 MiB before compression. */
const MOST_AT_TOP = 128 * MiB;
/** What a part takes beside its bytes: headers, its MAC. So parts of no bytes come to an end, too. */
const BESIDE_BYTES = 2 * KiB;

/**
 * The directories that qubes.xml names, and the most bytes that the files of each may take as stored.
 */
export type NamedDirectories = ReadonlyMap<string, number>;

/**
 * Bounds an archive of formats 2 to 4: nothing else does, since they have no manifest, and parts that nobody
 * wants are passed over without a check of their MACs.
 */
export class StoredBounds {
  #named: NamedDirectories | undefined;
  readonly #stored = new Map<string, number>();

  /** From now on only these directories may come, as far as they go; and so must what has come. Throws DamagedError. */
  nameDirectories(named: NamedDirectories): void {
    this.#named = named;
    for (const directory of this.#stored.keys()) this.#check(directory);
  }

  /** A part of the file `path`. Throws DamagedError. */
  note(path: string, size: number): void {
    const directory = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    this.#stored.set(directory, (this.#stored.get(directory) ?? 0) + size + BESIDE_BYTES);
    this.#check(directory);
  }

  #check(directory: string): void {
    const most = directory === '' ? MOST_AT_TOP : this.#mostOf(directory);
    if ((this.#stored.get(directory) ?? 0) <= most) return;
    throw new DamagedError(
      `the backup goes on with more of ${directory === '' ? 'its list of VMs' : directory} ` +
        'than the sizes in its settings allow',
    );
  }

  #mostOf(directory: string): number {
    if (this.#named === undefined) return Infinity;
    const most = this.#named.get(directory);
    if (most !== undefined) return most;
    throw new DamagedError(`the backup holds ${directory}, of which its list of VMs knows nothing`);
  }
}
