import { DamagedError } from '../../../shared/errors.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';

/** qubes.xml and coffer's manifest, which lie in no directory, have 16 and 64 MiB before compression. */
const MOST_AT_TOP = 128 * MiB;
/** A VM has a few volumes, and a few small files. */
const MOST_FILES_IN_ONE = 100;
/** What a part takes beside its bytes: headers, its MAC. So parts of no bytes come to an end, too. */
const BESIDE_BYTES = 2 * KiB;

/**
 * The directories that qubes.xml names, and the most bytes that the files of each may take as stored.
 */
export type NamedDirectories = ReadonlyMap<string, number>;

interface Stored {
  readonly files: number;
  readonly size: number;
}

/**
 * Bounds a stream, or an archive of formats 2 to 4: parts that nobody wants are passed over without a check of their
 * MACs, so that a storage could make them up without end.
 */
export class StoredBounds {
  #named: NamedDirectories | undefined;
  readonly #stored = new Map<string, Stored>();
  #path: string | undefined;

  /** From now on only these directories may come, as far as they go; and so must what has come. Throws DamagedError. */
  nameDirectories(named: NamedDirectories): void {
    this.#named = named;
    const before = [...this.#stored];
    this.#stored.clear();
    for (const [directory, { files, size }] of before) this.#add(directory, files, size);
  }

  /** A part of the file `path`. Throws DamagedError. */
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
        `the backup holds more of ${owner === '' ? 'its list of VMs' : owner} than can be true`,
      );
    }
    this.#stored.set(owner, stored);
  }

  /** The directory, or the one above it, that is named, and the most that it may hold. Throws DamagedError. */
  #ownerOf(directory: string): [string, number] {
    if (directory === '') return ['', MOST_AT_TOP];
    if (this.#named === undefined) return [directory, Infinity];
    for (let owner = directory; owner !== ''; owner = parentOf(owner)) {
      const most = this.#named.get(owner);
      if (most !== undefined) return [owner, most];
    }
    throw new DamagedError(`the backup holds ${directory}, of which its list of VMs knows nothing`);
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}
