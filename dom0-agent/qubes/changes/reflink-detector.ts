import { FailedError, messageOf } from '../../../shared/errors.ts';
import type { RunForLines } from '../../../shared/run-program.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import {
  type IsRunning,
  type PlacedVolume,
  requireHalted,
  type VolumeDriver,
} from '../pools/pool-driver.ts';
import { compareCopies } from './compare-copies.ts';
import type { Note } from './notes.ts';
import { captureWhole } from './plain-detector.ts';
import type { Capture, PoolDetector, ToCapture } from './pool-detector.ts';
import { isAboutMissingFile, type ReflinkCopies } from './reflink-copies.ts';

export interface ReflinkOptions {
  /** Reads a volume if no copy of it can be made. */
  readonly driver: VolumeDriver;
  /** The image of a volume's committed content. */
  readonly imageOf: (placed: PlacedVolume) => string;
  /** See `PoolDetector`. */
  readonly identityOf: PoolDetector['identityOf'];
  readonly isRunning: IsRunning;
  readonly copies: ReflinkCopies;
  readonly runForLines: RunForLines;
}

/**
 * The detector for pools of image files on a file system that can share blocks (XFS, btrfs). A copy of each volume is
 * kept from one backup to the next. Blocks that are in the same place in the old copy and in a new one have not
 * changed: the old copy keeps its blocks, and a block that files share is never written to. The backup reads the new
 * copy.
 */
export function reflinkDetector(options: ReflinkOptions): PoolDetector {
  return new ReflinkDetector(options);
}

class ReflinkDetector implements PoolDetector {
  readonly identityOf: PoolDetector['identityOf'];
  readonly #options: ReflinkOptions;
  readonly #made = new Set<string>();
  /** Why no copies can be made in this pool; undefined if they can, as far as is known. */
  #cannot: string | undefined;

  constructor(options: ReflinkOptions) {
    this.#options = options;
    this.identityOf = options.identityOf;
  }

  holds(placed: PlacedVolume): boolean {
    return this.#cannot === undefined || this.#options.driver.holds(placed);
  }

  async capture({ placed, key, backup }: ToCapture): Promise<Capture> {
    const { driver } = this.#options;
    const name = `${key}.${backup}.img`;
    const identity = await this.identityOf(placed);
    if (this.#cannot === undefined) await this.#tryToCopy(placed, name);
    if (!this.#made.has(name)) {
      return captureWhole(
        driver,
        placed,
        this.identityOf,
        this.#cannot ?? 'no copy was kept of it',
      );
    }
    const isSame = identity === (await this.identityOf(placed));
    return {
      opened: {
        path: this.#options.copies.pathOf(name),
        requireUnchanged: () => Promise.resolve(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      },
      compare: async (before, signal) => ({
        identity: isSame ? identity : undefined,
        changed: await this.#changedSince(before, name, signal),
        extents: undefined,
        note: { copy: name },
      }),
      // The copy stays until it is known whether the backup is stored: see `tidy`.
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  seal(): Promise<void> {
    return Promise.resolve();
  }

  async tidy(notes: readonly Note[]): Promise<void> {
    const { copies } = this.#options;
    const wanted = new Set(notes.map(({ copy }) => copy));
    const others = (await copies.list()).filter((name) => !wanted.has(name));
    await copies.remove(others);
    this.#made.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.copies.remove([...this.#made]);
  }

  /** Copies a volume. One that its VM writes to in place is only copied while the VM is halted. */
  async #tryToCopy(placed: PlacedVolume, name: string): Promise<void> {
    const { copies, imageOf, isRunning } = this.#options;
    if (placed.hasNoSavedState) await requireHalted(placed, isRunning);
    try {
      await copies.make(imageOf(placed), name);
    } catch (error) {
      // Its VM may have just been removed: that says nothing about the other volumes.
      if (isAboutMissingFile(error)) return;
      this.#cannot = `no copy of it can be kept in its pool: ${messageOf(error)}`;
      return;
    }
    this.#made.add(name);
    if (placed.hasNoSavedState) await requireHalted(placed, isRunning);
  }

  async #changedSince(
    before: Note | undefined,
    name: string,
    signal: AbortSignal,
  ): Promise<readonly Extent[] | string> {
    const { copies, runForLines } = this.#options;
    const old = before?.['copy'];
    if (old === undefined) return 'no copy was kept of it';
    try {
      return await compareCopies(copies.pathOf(old), copies.pathOf(name), runForLines, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof FailedError)) throw error;
      return `its copy cannot be compared: ${error.message}`;
    }
  }
}
