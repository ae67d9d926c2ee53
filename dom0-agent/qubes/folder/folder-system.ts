import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { DamagedError, FailedError, messageOf, RefusedError } from '../../../shared/errors.ts';
import { spaceIn } from '../../../storage/list-directory.ts';
import { firewallRules } from '../firewall.ts';
import { formatFirewallXml, parseFirewallXml } from '../xml/firewall-xml.ts';
import { hasNoSavedState, whyUnsaved } from '../qube.ts';
import type { DeviceAssignment, FirewallRule, Qube, Volume } from '../qube.ts';
import type { StoredQube } from '../xml/qubes-store.ts';
import type {
  Dom0Home,
  ListedQube,
  NewQube,
  Pool,
  QubesSystem,
  SystemDefaults,
  VolumeImage,
  VolumeSettings,
} from '../system.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import { requireHalted, requireStillHalted } from '../pools/pool-driver.ts';
import { openImage } from '../pools/open-image.ts';
import { importImage } from './import-image.ts';
import { Layout } from './folder-layout.ts';
import { DEFAULT_POOL, describeNewQube } from './new-qube.ts';
import { qubesThatUse, withProperty } from './property-rules.ts';
import {
  exists,
  makeQubeFiles,
  readQubeText,
  removeQubeFiles,
  withSizes,
  writeQubeText,
} from './qube-files.ts';
import { findQube, StoreFile } from './qubes-xml-file.ts';

/**
 * Opens a directory that plays a Qubes system: `qubes.xml` and the images as in a Qubes file pool,
 * `dom0-home/<user>`, `homes/<name>` and `running/<name>`. Throws RefusedError when it is none.
 */
export async function openFolderSystem(directory: string): Promise<FolderSystem> {
  const layout = new Layout(resolve(directory));
  const store = new StoreFile(layout.qubesXml);
  const { qubes } = await store.read();
  if (qubes[0]?.qubeClass !== 'AdminVM') {
    throw new RefusedError(`${layout.qubesXml} has no dom0, so it is not the store of a system`);
  }
  return new FolderSystem(layout, store);
}

/** A directory that plays a Qubes system. Opened by `openFolderSystem`. */
export class FolderSystem implements QubesSystem {
  readonly description: string;
  readonly place: string;
  readonly #layout: Layout;
  readonly #store: StoreFile;

  constructor(layout: Layout, store: StoreFile) {
    this.description = `the folder system ${layout.directory}`;
    this.place = layout.directory;
    this.#layout = layout;
    this.#store = store;
  }

  /** The directory that is the home of a VM which can store backups, whether it exists or not. */
  homeOf(name: string): string {
    return this.#layout.homeOf(name);
  }

  async list(): Promise<ListedQube[]> {
    const { qubes, unknownDomains } = await this.#store.read();
    const classes = [
      ...qubes.map(({ name, qubeClass }) => ({ name, className: qubeClass })),
      ...unknownDomains,
    ];
    return await Promise.all(
      classes.map(async ({ name, className }) => ({
        name,
        className,
        isRunning: name === 'dom0' || (await exists(this.#layout.runningFileOf(name))),
      })),
    );
  }

  async qubes(): Promise<Qube[]> {
    const { qubes } = await this.#store.read();
    return await Promise.all(qubes.map((qube) => withSizes(this.#layout, qube)));
  }

  async labels(): Promise<string[]> {
    return (await this.#store.read()).labels.map(({ name }) => name);
  }

  async defaults(): Promise<SystemDefaults> {
    const { properties } = await this.#store.read();
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
    const users = await readdir(this.#layout.dom0Homes).catch((error: unknown) => {
      throw new FailedError(`dom0's home cannot be found: ${messageOf(error)}`);
    });
    const [user, ...others] = users;
    if (user === undefined || others.length > 0) {
      throw new FailedError(`${this.#layout.dom0Homes} must hold the home of one user`);
    }
    return { user, path: join(this.#layout.dom0Homes, user) };
  }

  async pools(): Promise<Pool[]> {
    const { pools, properties } = await this.#store.read();
    const { freeBytes: free } = await spaceIn(this.#layout.directory);
    const usual = properties.get('default_pool') ?? DEFAULT_POOL;
    return [...pools]
      .filter(([, settings]) => settings.get('driver') !== 'linux-kernel')
      .map(([name]) => ({ name, free, isDefault: name === usual }));
  }

  async isRunning(name: string): Promise<boolean> {
    if (name === 'dom0') return true;
    const { name: checkedName } = await this.#find(name);
    return await exists(this.#layout.runningFileOf(checkedName));
  }

  async feature(name: string, feature: string): Promise<string | undefined> {
    return (await this.#find(name)).features.get(feature);
  }

  async tags(name: string): Promise<ReadonlySet<string>> {
    return (await this.#find(name)).tags;
  }

  async firewall(name: string): Promise<FirewallRule[] | undefined> {
    const path = this.#layout.firewallXmlOf(await this.#find(name));
    const text = await readQubeText(path, `the firewall of ${name}`);
    try {
      return text === undefined ? undefined : parseFirewallXml(text);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      throw new FailedError(`the firewall of ${name} cannot be understood: ${error.message}`);
    }
  }

  async notes(name: string): Promise<string> {
    const path = this.#layout.notesOf(await this.#find(name));
    return (await readQubeText(path, `the notes of ${name}`)) ?? '';
  }

  whyUnreadable(volume: Volume, isRunning: boolean): Promise<string | undefined> {
    return Promise.resolve(isRunning ? whyUnsaved(volume) : undefined);
  }

  async openVolume(qube: Qube, volume: Volume, signal: AbortSignal): Promise<VolumeImage> {
    const path = this.#layout.imageOf(qube, volume);
    const placed = { label: labelOf(qube.name, volume.name), qubeName: qube.name };
    const isRunning = (name: string): Promise<boolean> => this.isRunning(name);
    if (hasNoSavedState(volume)) await requireHalted(placed, isRunning);
    const image = await openImage(path, placed.label, signal);
    return {
      ...image,
      async requireUnchanged() {
        if (hasNoSavedState(volume)) await requireStillHalted(placed, isRunning);
        await image.requireUnchanged();
      },
    };
  }

  async setBackupTimestamp(name: string, unixTime: number): Promise<void> {
    await this.setProperty(name, 'backup_timestamp', `${unixTime}`);
  }

  /**
   * The entry in qubes.xml makes the VM, and comes last: a coffer that is killed leaves at worst a
   * directory that no VM has. It is not used again, but told about.
   */
  async create(wanted: NewQube): Promise<void> {
    let made: StoredQube | undefined;
    try {
      await this.#store.update(async (store) => {
        const qube = describeNewQube(store, wanted);
        await makeQubeFiles(this.#layout, qube);
        made = qube;
        return { ...store, qubes: [...store.qubes, qube] };
      });
    } catch (error) {
      if (made !== undefined) await removeQubeFiles(this.#layout, made);
      throw error;
    }
  }

  /** The entry in qubes.xml goes first, so what is left half removed is no VM. */
  async remove(name: string): Promise<void> {
    if (name === 'dom0') throw new RefusedError('dom0 cannot be removed');
    if (await this.isRunning(name))
      throw new RefusedError(`${name} is running: shut it down first`);
    const qube = await this.#find(name);
    await this.#store.update((store) => {
      const users = qubesThatUse(store, name);
      if (users.length > 0) {
        throw new RefusedError(`${name} cannot be removed: ${users.join(', ')} refer to it`);
      }
      return { ...store, qubes: store.qubes.filter((other) => other.name !== name) };
    });
    await removeQubeFiles(this.#layout, qube);
  }

  async setProperty(name: string, property: string, value: string): Promise<void> {
    await this.#store.updateQube(name, (qube, store) => withProperty(qube, store, property, value));
  }

  async resetProperty(name: string, property: string): Promise<void> {
    await this.#store.updateQube(name, (qube) => ({
      ...qube,
      properties: new Map([...qube.properties].filter(([key]) => key !== property)),
    }));
  }

  async setFeature(name: string, feature: string, value: string): Promise<void> {
    if (!/^[\w.-]+$/.test(feature)) {
      throw new RefusedError(`${name} cannot have a feature called "${feature}"`);
    }
    await this.#store.updateQube(name, (qube) => ({
      ...qube,
      features: new Map([...qube.features, [feature, value]]),
    }));
  }

  async removeFeature(name: string, feature: string): Promise<void> {
    await this.#store.updateQube(name, (qube) => ({
      ...qube,
      features: new Map([...qube.features].filter(([key]) => key !== feature)),
    }));
  }

  /** As with qubesd, tags that tell who created a VM cannot be set. */
  async setTag(name: string, tag: string): Promise<void> {
    if (!/^[A-Za-z0-9_-]+$/.test(tag) || tag.startsWith('created-by-')) {
      throw new RefusedError(`${name} cannot be given the tag "${tag}"`);
    }
    await this.#store.updateQube(name, (qube) => ({
      ...qube,
      tags: new Set([...qube.tags, tag]),
    }));
  }

  async removeTag(name: string, tag: string): Promise<void> {
    await this.#store.updateQube(name, (qube) => ({
      ...qube,
      tags: new Set([...qube.tags].filter((other) => other !== tag)),
    }));
  }

  async setVolume(
    name: string,
    volume: string,
    { revisionsToKeep, ephemeral }: VolumeSettings,
  ): Promise<void> {
    await this.#store.updateQube(name, (qube) => ({
      ...qube,
      volumes: qube.volumes.map((other) => {
        if (other.name !== volume) return other;
        return {
          ...other,
          revisionsToKeep: revisionsToKeep ?? other.revisionsToKeep,
          ephemeral: ephemeral ?? other.ephemeral,
        };
      }),
    }));
  }

  async setFirewall(name: string, rules: readonly FirewallRule[]): Promise<void> {
    const path = this.#layout.firewallXmlOf(await this.#find(name));
    const text = formatFirewallXml(firewallRules(rules.map((rule) => [...rule])));
    await writeQubeText(path, `the firewall of ${name}`, text);
  }

  async setNotes(name: string, notes: string): Promise<void> {
    const path = this.#layout.notesOf(await this.#find(name));
    await writeQubeText(path, `the notes of ${name}`, notes);
  }

  async assignDevice(name: string, device: DeviceAssignment): Promise<void> {
    const { deviceClass, backend, port } = device;
    await this.#store.updateQube(name, (qube, store) => {
      findQube(store, backend);
      const isSame = (other: DeviceAssignment): boolean =>
        other.deviceClass === deviceClass && other.backend === backend && other.port === port;
      if (qube.devices.some(isSame)) {
        throw new RefusedError(`${name} already has the device ${backend}:${port}`);
      }
      return { ...qube, devices: [...qube.devices, device] };
    });
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
    const qube = await this.#find(name);
    const found = qube.volumes.find((known) => known.name === volume && known.saveOnStop);
    if (found === undefined) {
      throw new RefusedError(`${name} has no volume ${volume} that could be restored`);
    }
    const path = this.#layout.imageOf(qube, found);
    await importImage(path, labelOf(name, volume), size, pieces, signal);
    await this.#store.updateQube(name, (now) => ({
      ...now,
      volumes: now.volumes.map((other) => (other.name === volume ? { ...other, size } : other)),
    }));
  }

  async #find(name: string): Promise<StoredQube> {
    return findQube(await this.#store.read(), name);
  }
}

function labelOf(name: string, volume: string): string {
  return `the volume ${volume} of ${name}`;
}
