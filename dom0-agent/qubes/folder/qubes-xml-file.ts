import { readFile, stat } from 'node:fs/promises';

import {
  DamagedError,
  FailedError,
  reasonOf,
  RefusedError,
  systemCodeOf,
} from '../../../shared/errors.ts';
import { formatQubesXml } from '../xml/format-qubes-xml.ts';
import { parseQubesXml } from '../xml/parse-qubes-xml.ts';
import type { QubesStore, StoredQube } from '../xml/qubes-store.ts';
import { whileLocked } from '../file-lock.ts';
import { replaceFile } from '../replace-file.ts';

/**
 * The qubes.xml of a folder system. It is checked for changes at each read, and changed under a lock, so
 * that two coffer processes can use the same folder system.
 */
export class StoreFile {
  readonly #path: string;
  /** What was last read or written, and the version of the file at that time. */
  #known: { readonly mark: string; readonly store: QubesStore } | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Throws RefusedError when there is none, FailedError when it cannot be read or parsed. */
  async read(): Promise<QubesStore> {
    try {
      const mark = await this.#mark();
      if (this.#known?.mark === mark) return this.#known.store;
      const store = parseOwn(await readFile(this.#path, 'utf8'), this.#path);
      // If it was replaced in the meantime, the mark is the old file's, and the next call reads it again.
      this.#known = { mark, store };
      return store;
    } catch (error) {
      if (systemCodeOf(error) === undefined) throw error;
      if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ENOTDIR') {
        throw new RefusedError(
          `there is no folder system, as ${this.#path} does not exist: ` +
            'make one with `coffer sandbox DIR`',
        );
      }
      throw new FailedError(`${this.#path} cannot be read: ${reasonOf(error)}`);
    }
  }

  /** Differs after every change, since a change replaces the file. */
  async #mark(): Promise<string> {
    const { ino, size, mtimeNs, ctimeNs } = await stat(this.#path, { bigint: true });
    return [ino, size, mtimeNs, ctimeNs].join(' ');
  }

  /**
   * Changes the store: `change` returns the new one. When it throws, the store is left unchanged.
   */
  async update(change: (store: QubesStore) => QubesStore | Promise<QubesStore>): Promise<void> {
    await whileLocked(`${this.#path}.lock`, async () => {
      const store = await change(await this.read());
      const text = formatQubesXml(store);
      await replaceFile(this.#path, (file) => file.writeFile(text));
      this.#known = { mark: await this.#mark(), store };
    });
  }

  /** Changes one VM. Throws RefusedError when there is no such VM. */
  async updateQube(
    name: string,
    change: (qube: StoredQube, store: QubesStore) => StoredQube,
  ): Promise<void> {
    await this.update((store) => {
      const changed = change(findQube(store, name), store);
      return { ...store, qubes: store.qubes.map((qube) => (qube.name === name ? changed : qube)) };
    });
  }
}

/** Throws RefusedError when there is no such VM. */
export function findQube(store: QubesStore, name: string): StoredQube {
  const found = store.qubes.find((qube) => qube.name === name);
  if (found === undefined) throw new RefusedError(`there is no VM called ${name} on this system`);
  return found;
}

/** The system's own file is not hostile; a broken one does not mean a damaged backup. */
function parseOwn(text: string, path: string): QubesStore {
  try {
    return parseQubesXml(text);
  } catch (error) {
    if (!(error instanceof DamagedError)) throw error;
    throw new FailedError(`${path} is not the store of a Qubes system: ${error.message}`);
  }
}
