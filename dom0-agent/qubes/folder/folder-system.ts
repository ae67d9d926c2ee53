import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { FailedError, messageOf, RefusedError } from '../../../shared/errors.ts';
import { spaceIn } from '../../../storage/list-directory.ts';
import { volumeLabel, whyUnsaved } from '../qube.ts';
import type { Qube, Volume } from '../qube.ts';
import type { StoredQube } from '../xml/qubes-store.ts';
import type {
  Dom0Home,
  HeldVolume,
  ListedQube,
  NewQube,
  Pool,
  QubesSystem,
  SystemDefaults,
} from '../system.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import { imagePoolDetector } from '../changes/open-detector.ts';
import type { PoolDetector } from '../changes/pool-detector.ts';
import { trackChanges } from '../changes/track-changes.ts';
import { spaceOfCopies } from '../changes/reflink-copies.ts';
import { type WasWritten, wasWrittenSince } from '../changes/was-written.ts';
import type { ChangeTracking, TrackingOptions } from '../changes/volume-changes.ts';
import { openFileReflinkPool } from '../pools/file-pool.ts';
import { holdVolume, openHeldImage } from '../pools/held-image.ts';
import { placedVolume, type VolumeDriver } from '../pools/pool-driver.ts';
import { lineRunnerBehind, runnerBehind } from '../../../shared/run-program.ts';
import { exists } from '../file-exists.ts';
import { importImage } from './import-image.ts';
import { FolderLayout } from './folder-layout.ts';
import { FolderSettings } from './folder-settings.ts';
import { DEFAULT_POOL, describeNewQube } from './new-qube.ts';
import { qubesThatUse } from './property-rules.ts';
import { makeQubeFiles, removeQubeFiles, withSizes } from './qube-files.ts';
import { StoreFile } from './qubes-xml-file.ts';

/**
 * Opens a directory that stands in for a Qubes system: `qubes.xml` and the images as in a Qubes file
 * pool, `dom0-home/<user>`, `homes/<name>` and `running/<name>`. Throws RefusedError when it is not one.
 */
export async function openFolderSystem(directory: string): Promise<FolderSystem> {
  const layout = new FolderLayout(resolve(directory));
  const store = new StoreFile(layout.qubesXml);
  const { qubes } = await store.read();
  if (qubes[0]?.qubeClass !== 'AdminVM') {
    throw new RefusedError(`${layout.qubesXml} has no dom0, so it is not the store of a system`);
  }
  return new FolderSystem(layout, store);
}

/** A directory that stands in for a Qubes system. Opened by `openFolderSystem`. */
export class FolderSystem extends FolderSettings implements QubesSystem {
  readonly description: string;
  readonly place: string;

  constructor(layout: FolderLayout, store: StoreFile) {
    super(layout, store);
    this.description = `the folder system ${layout.directory}`;
    this.place = layout.directory;
  }

  /** The home directory of a VM that can store backups, whether it exists or not. */
  homeOf(name: string): string {
    return this.layout.homeOf(name);
  }

  async list(): Promise<ListedQube[]> {
    const { qubes, unknownDomains } = await this.store.read();
    const classes = [
      ...qubes.map(({ name, qubeClass }) => ({ name, className: qubeClass })),
      ...unknownDomains,
    ];
    return await Promise.all(
      classes.map(async ({ name, className }) => ({
        name,
        className,
        isRunning: name === 'dom0' || (await exists(this.layout.runningFileOf(name))),
      })),
    );
  }

  async qubes(): Promise<Qube[]> {
    const { qubes } = await this.store.read();
    return await Promise.all(qubes.map((qube) => withSizes(this.layout, qube)));
  }

  /** Not known: nothing here starts VMs. */
  kernels(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async labels(): Promise<string[]> {
    return (await this.store.read()).labels.map(({ name }) => name);
  }

  async defaults(): Promise<SystemDefaults> {
    const { properties } = await this.store.read();
    const vm = (property: string): string | undefined => {
      const name = properties.get(property);
      return name === '' ? undefined : name;
    };
    return {
      template: vm('default_template'),
      netvm: vm('default_netvm'),
      dispvm: vm('default_dispvm'),
    };
  }

  async dom0Home(): Promise<Dom0Home> {
    const users = await readdir(this.layout.dom0Homes).catch((error: unknown) => {
      throw new FailedError(`dom0's home cannot be found: ${messageOf(error)}`);
    });
    const [user, ...others] = users;
    if (user === undefined || others.length > 0) {
      throw new FailedError(`${this.layout.dom0Homes} must hold the home of one user`);
    }
    return { user, path: join(this.layout.dom0Homes, user) };
  }

  async pools(): Promise<Pool[]> {
    const { pools, properties } = await this.store.read();
    const { freeBytes: free } = await spaceIn(this.layout.directory);
    const usual = properties.get('default_pool') ?? DEFAULT_POOL;
    return [...pools]
      .filter(([, settings]) => settings.get('driver') !== 'linux-kernel')
      .map(([name]) => ({ name, free, isDefault: name === usual }));
  }

  async isRunning(name: string): Promise<boolean> {
    if (name === 'dom0') return true;
    const { name: checkedName } = await this.find(name);
    return await exists(this.layout.runningFileOf(checkedName));
  }

  whyUnreadable(volume: Volume, isRunning: boolean): Promise<string | undefined> {
    return Promise.resolve(isRunning ? whyUnsaved(volume) : undefined);
  }

  async hasUncommitted({ vid }: Volume): Promise<boolean> {
    return await this.#driver().hasUncommitted(vid);
  }

  async holdVolume(qube: Qube, volume: Volume): Promise<HeldVolume> {
    // Throws for an id that leads elsewhere.
    this.layout.imageOf(qube, volume);
    return await holdVolume(this.#driver(), placedVolume(qube, volume), undefined);
  }

  async trackChanges(options: TrackingOptions): Promise<ChangeTracking> {
    const tracking = await trackChanges(
      {
        detectorOf: () => this.#detector(options.series),
        imageOf: (opened, { label }, known, signal) =>
          openHeldImage(opened, label, undefined, signal, known),
      },
      options,
    );
    return {
      hold: async (tracked, signal) => {
        this.layout.imageOf(tracked.qube, tracked.volume);
        return await tracking.hold(tracked, signal);
      },
      commit: () => tracking.commit(),
      [Symbol.asyncDispose]: () => tracking[Symbol.asyncDispose](),
    };
  }

  wasWrittenSince({
    directory,
    series,
  }: Pick<TrackingOptions, 'directory' | 'series'>): WasWritten {
    return wasWrittenSince({ detectorOf: () => this.#detector(series) }, directory);
  }

  spaceOfCopies(): Promise<number> {
    return spaceOfCopies(this.layout.directory, runnerBehind([]), lineRunnerBehind([]));
  }

  #detector(series: string): Promise<PoolDetector> {
    return imagePoolDetector({
      ...{ directory: this.layout.directory, series, driver: this.#driver() },
      isRunning: (name) => this.isRunning(name),
      run: runnerBehind([]),
      runForLines: lineRunnerBehind([]),
    });
  }

  /** Images are replaced by renaming, as in a pool of the kind `file-reflink`. */
  #driver(): VolumeDriver {
    return openFileReflinkPool(this.layout.directory, (name) => this.isRunning(name));
  }

  async setBackupTimestamps(
    names: readonly string[],
    unixTime: number,
  ): Promise<ReadonlyMap<string, unknown>> {
    const failed = new Map<string, unknown>();
    try {
      await this.setProperties(names, 'backup_timestamp', `${unixTime}`, (name, error) =>
        failed.set(name, error),
      );
    } catch (error) {
      for (const name of names) failed.set(name, error);
    }
    return failed;
  }

  /**
   * The entry in qubes.xml makes it a VM, and is written last: a killed coffer leaves at worst a
   * directory without a VM, which is reported and never reused.
   */
  async create(wanted: NewQube): Promise<void> {
    let made: StoredQube | undefined;
    try {
      await this.store.update(async (store) => {
        const qube = describeNewQube(store, wanted);
        await makeQubeFiles(this.layout, qube);
        made = qube;
        return { ...store, qubes: [...store.qubes, qube] };
      });
    } catch (error) {
      if (made !== undefined) await removeQubeFiles(this.layout, made);
      throw error;
    }
  }

  /** The entry in qubes.xml is removed first, so a partly removed VM is no longer a VM. */
  async remove(name: string): Promise<void> {
    if (name === 'dom0') throw new RefusedError('dom0 cannot be removed');
    if (await this.isRunning(name))
      throw new RefusedError(`${name} is running: shut it down first`);
    const qube = await this.find(name);
    await this.store.update((store) => {
      const users = qubesThatUse(store, name);
      if (users.length > 0) {
        throw new RefusedError(`${name} cannot be removed: ${users.join(', ')} refer to it`);
      }
      return { ...store, qubes: store.qubes.filter((other) => other.name !== name) };
    });
    await removeQubeFiles(this.layout, qube);
  }

  async importVolume(
    name: string,
    volume: string,
    size: number,
    pieces: AsyncIterable<DataPiece>,
    signal: AbortSignal,
  ): Promise<void> {
    if (await this.isRunning(name))
      throw new RefusedError(`${name} is running: shut it down first`);
    const qube = await this.find(name);
    const found = qube.volumes.find((known) => known.name === volume && known.saveOnStop);
    if (found === undefined) {
      throw new RefusedError(`${name} has no volume ${volume} that could be restored`);
    }
    const path = this.layout.imageOf(qube, found);
    await importImage(path, volumeLabel(name, volume), size, pieces, signal);
    await this.store.updateQube(name, (now) => ({
      ...now,
      volumes: now.volumes.map((other) => (other.name === volume ? { ...other, size } : other)),
    }));
  }
}
