import { DamagedError } from '../../../shared/errors.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';

/** qubes.xml and coffer's manifest, which are in no directory, have up to 16 and 64 MiB before compression. */
const MOST_AT_TOP = 128 * MiB;
/** A VM has a few volumes, and a few small files. */
const MOST_FILES_IN_ONE = 100;
/** Counted for each part besides its bytes, for headers and its MAC: this bounds the number of empty parts, too. */
const BESIDE_BYTES = 2 * KiB;

/** The directories that qubes.xml names, and the most stored bytes that the files of each may have. */
export type NamedDirectories = ReadonlyMap<string, number>;

interface Stored {
  readonly files: number;
  readonly size: number;
}

/**
 * Bounds an archive of formats 2 to 4: unwanted parts are skipped without verifying their MACs, so a hostile storage
 * could make up an endless number of them.
 */
export class StoredBounds {
  #named: NamedDirectories | undefined;
  readonly #stored = new Map<string, Stored>();
  #path: string | undefined;

  /** From now on, and for what has been read already, only these directories are allowed. Throws DamagedError. */
  nameDirectories(named: NamedDirectories): void {
    this.#named = named;
    const before = [...this.#stored];
    this.#stored.clear();
    for (const [directory, { files, size }] of before) this.#add(directory, files, size);
  }

  /** Counts a part of the file `path`, of `size` stored bytes. Throws DamagedError when there is too much. */
  note(path: string, size: number): void {
    this.#add(parentOf(path), path === this.#path ? 0 : 1, size + BESIDE_BYTES);
    this.#path = path;
  }

  #add(directory: string, files: number, size: number): void {
    const [owner, most] = this.#ownerOf(directory);
    const before = this.#stored.get(owner);
    const stored = { files: (before?.files ?? 0) + files, size: (before?.size ?? 0) + size };
    if (stored.size > most || (stored.files > MOST_FILES_IN_ONE && this.#named !== undefined)) {
      throw new DamagedError(
        `the backup contains more of ${owner === '' ? 'its list of VMs' : owner} than is possible`,
      );
    }
    this.#stored.set(owner, stored);
  }

  /** The directory itself or the closest parent that is named, and its limit. Throws DamagedError. */
  #ownerOf(directory: string): [string, number] {
    if (directory === '') return ['', MOST_AT_TOP];
    if (this.#named === undefined) return [directory, Infinity];
    for (let owner = directory; owner !== ''; owner = parentOf(owner)) {
      const most = this.#named.get(owner);
      if (most !== undefined) return [owner, most];
    }
    throw new DamagedError(`the backup contains ${directory}, which is not in its list of VMs`);
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}
