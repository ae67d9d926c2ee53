import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { access, mkdir, readFile, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FailedError, reasonOf, systemCodeOf } from '../../shared/errors.ts';
import type { EarlierFile, EarlierFiles } from '../archive/coffer1/earlier-files.ts';
import type { VolumeMap } from '../archive/coffer1/volume-map.ts';
import { type Patience, whileLocked } from '../qubes/file-lock.ts';
import { replaceFile } from '../qubes/replace-file.ts';
import {
  type FileContents,
  isOfKeptFile,
  mapFileOf,
  readKeptFile,
  readKeptMap,
  writeKeptFile,
} from './kept-file.ts';
import { makeReadableDirectory } from './record-files.ts';
import { type SeriesFile, type SeriesState, formatState, parseState } from './series-state.ts';

const STATE = 'state.json';

/**
 * What dom0 knows about series, in a directory that nobody else may read:
 *
 *     <series-id>/state.json             the wrapped key, the files, which one is the newest
 *     <series-id>/<backup-id>/parts      the table of parts of that file, as it is in the file, and its SHA-256
 *     <series-id>/<backup-id>/ids        the ids of its chunks
 *     <series-id>/<backup-id>/<map>      the maps of volumes that were last backed up in it, each with its SHA-256
 *
 * `state.json` is replaced once everything that it names is written; whatever it does not name is removed by the next
 * change.
 */
export class SeriesStore {
  readonly #directory: string;
  readonly #warn: (text: string) => void;

  /** @param warn called with a sentence about damaged records, which are skipped */
  constructor(directory: string, warn: (text: string) => void) {
    this.#directory = directory;
    this.#warn = warn;
  }

  /**
   * Runs `action` while no other process continues a series at this place, and waits for one that does. Where this user
   * cannot write, nothing is noted, so it does not wait.
   */
  async whileLocked<T>(place: string, action: () => Promise<T>, patience: Patience): Promise<T> {
    if (!(await this.#isWritable())) return await action();
    const name = createHash('sha256').update(place).digest('hex').slice(0, 16);
    return await whileLocked(join(this.#directory, `.${name}.lock`), action, patience);
  }

  /** Every series that is known. */
  async all(): Promise<SeriesState[]> {
    const states: SeriesState[] = [];
    for (const name of await namesIn(this.#directory)) {
      if (!/^[0-9a-f]{32}$/.test(name)) continue;
      const state = await this.#read(name);
      if (state !== undefined) states.push(state);
    }
    return states;
  }

  /**
   * The series at a place of which at least one file is there; the one that was continued last comes first. One whose
   * last file is dated in the future comes last: the clock was wrong. Series without a file there may be on another disk
   * that was mounted at the same place.
   */
  async at(place: string, isThere: (file: SeriesFile) => boolean): Promise<SeriesState[]> {
    const now = Date.now();
    const newest = (state: SeriesState): number => {
      const { made = 0 } = state.files.at(-1) ?? {};
      return 1000 * made > now ? 0 : made;
    };
    const there = (await this.all()).filter(
      (state) => state.place === place && state.files.some(isThere),
    );
    return there.sort((one, other) => newest(other) - newest(one));
  }

  /**
   * The files that a new backup may refer to, the newest first.
   *
   * @param usable whether a file can be referred to
   */
  async earlierFiles(
    state: SeriesState,
    usable: (file: SeriesFile) => boolean,
  ): Promise<EarlierFiles> {
    const files: EarlierFile[] = [];
    for (const file of state.files.toReversed().filter(usable)) {
      const known = await this.#earlierFile(state, file);
      if (known !== undefined) files.push(known);
    }
    return { files, lastMap: (origin) => this.#lastMap(state, origin) };
  }

  /**
   * Notes a file that was stored, atomically. Throws FailedError.
   *
   * @param state with that file
   */
  async add(state: SeriesState, contents: FileContents, backupId: string): Promise<void> {
    await this.write(state.head.seriesId, backupId, contents);
    await this.save(state);
  }

  /**
   * Writes what is known about a file; it takes effect once a state that names the file is saved. Throws FailedError.
   */
  async write(seriesId: string, backupId: string, contents: FileContents): Promise<void> {
    const directory = this.#pathOf(seriesId, backupId);
    try {
      await this.#makePrivate(directory);
      await writeKeptFile(directory, contents);
    } catch (error) {
      throw unwritable(directory, error);
    }
  }

  /** Replaces what is known about a series, and removes what is no longer needed. Throws FailedError. */
  async save(state: SeriesState): Promise<void> {
    const directory = this.#pathOf(state.head.seriesId);
    try {
      await this.#makePrivate(directory);
      await replaceFile(join(directory, STATE), async (file) => {
        await file.chmod(0o600);
        await file.writeFile(formatState(state));
      });
      await this.#removeUnneeded(state);
    } catch (error) {
      throw unwritable(directory, error);
    }
  }

  async #read(seriesId: string): Promise<SeriesState | undefined> {
    const path = this.#pathOf(seriesId, STATE);
    try {
      const state = parseState(await readFile(path, 'utf8'));
      if (state?.head.seriesId === seriesId) return state;
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return undefined;
      throw new FailedError(
        `dom0's record of a series cannot be read: ${path}: ${reasonOf(error)}`,
      );
    }
    this.#warn(
      `dom0's record of a series of backups is damaged, and ${await setAside(path)}; ` +
        'the next backup takes over what is there, if the passphrase opens it',
    );
    return undefined;
  }

  /** Undefined, with a warning, if what is kept about the file is missing or damaged. */
  async #earlierFile(
    { head }: SeriesState,
    { backupId, fileName }: SeriesFile,
  ): Promise<EarlierFile | undefined> {
    const known = await readKeptFile(this.#pathOf(head.seriesId, backupId));
    if (known !== undefined) return { backupId, ...known };
    this.#warn(
      `dom0's record of ${fileName} is lost: what it holds is stored again where it is still needed`,
    );
    return undefined;
  }

  /** The last maps of all volumes that are known. */
  async lastMaps(state: SeriesState): Promise<VolumeMap[]> {
    const maps: VolumeMap[] = [];
    for (const origin of state.maps.keys()) {
      const map = await this.#lastMap(state, origin);
      if (map !== undefined) maps.push(map);
    }
    return maps;
  }

  async #lastMap(
    { head, maps, files }: SeriesState,
    origin: string,
  ): Promise<VolumeMap | undefined> {
    const backupId = maps.get(origin);
    const grain = files.find((file) => file.backupId === backupId)?.grain;
    if (backupId === undefined || grain === undefined) return undefined;
    return await readKeptMap(this.#pathOf(head.seriesId, backupId), origin, grain);
  }

  async #removeUnneeded({ head, files, maps }: SeriesState): Promise<void> {
    const current = new Set(Array.from(maps, ([origin, id]) => `${id}/${mapFileOf(origin)}`));
    const known = new Set(files.map(({ backupId }) => backupId));
    for (const backupId of await namesIn(this.#pathOf(head.seriesId))) {
      if (!/^[0-9a-f]{32}$/.test(backupId)) continue;
      const directory = this.#pathOf(head.seriesId, backupId);
      if (!known.has(backupId)) await rm(directory, { recursive: true, force: true });
      for (const name of await namesIn(directory)) {
        const isNeeded = isOfKeptFile(name) || current.has(`${backupId}/${name}`);
        if (!isNeeded) await rm(join(directory, name), { force: true });
      }
    }
  }

  /** Whether this user can write to the directory, which is made if it is missing. */
  async #isWritable(): Promise<boolean> {
    try {
      await this.#makePrivate(this.#directory);
      await access(this.#directory, constants.W_OK);
      return true;
    } catch {
      return false;
    }
  }

  /** Makes a directory that nobody else may read. The one that all of them are in also has the record of backups. */
  async #makePrivate(directory: string): Promise<void> {
    await makeReadableDirectory(dirname(this.#directory));
    await mkdir(directory, { recursive: true, mode: 0o700 });
  }

  #pathOf(seriesId: string, ...names: string[]): string {
    return join(this.#directory, seriesId, ...names);
  }
}

/** Renames a damaged file. It may be damaged because its file system is, and cannot be renamed: says what happened. */
async function setAside(path: string): Promise<string> {
  try {
    await rename(path, `${path}.damaged`);
    return `was set aside as ${path}.damaged`;
  } catch (error) {
    return `cannot be set aside: ${path}: ${reasonOf(error)}`;
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCodeOf(error) ?? '')) return [];
    throw new FailedError(`${directory} cannot be read: ${reasonOf(error)}`);
  }
}

function unwritable(path: string, error: unknown): Error {
  if (systemCodeOf(error) === undefined) return error instanceof Error ? error : new Error();
  return new FailedError(`${path} cannot be written: ${reasonOf(error)}`, { cause: error });
}
