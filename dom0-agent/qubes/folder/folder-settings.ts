import { DamagedError, FailedError, RefusedError } from '../../../shared/errors.ts';
import { firewallRules } from '../firewall.ts';
import type { DeviceAssignment, FirewallRule } from '../qube.ts';
import type { VolumeSettings } from '../system.ts';
import { formatFirewallXml, parseFirewallXml } from '../xml/firewall-xml.ts';
import type { StoredQube } from '../xml/qubes-store.ts';
import type { FolderLayout } from './folder-layout.ts';
import { withProperty } from './property-rules.ts';
import { readQubeText, writeQubeText } from './qube-files.ts';
import { findQube, type StoreFile } from './qubes-xml-file.ts';

/** The settings of VMs in a folder system: most are in qubes.xml, firewall and notes next to the images. */
export abstract class FolderSettings {
  protected readonly layout: FolderLayout;
  protected readonly store: StoreFile;

  constructor(layout: FolderLayout, store: StoreFile) {
    this.layout = layout;
    this.store = store;
  }

  async feature(name: string, feature: string): Promise<string | undefined> {
    return (await this.find(name)).features.get(feature);
  }

  async tags(name: string): Promise<ReadonlySet<string>> {
    return (await this.find(name)).tags;
  }

  async firewall(name: string): Promise<FirewallRule[] | undefined> {
    const path = this.layout.firewallXmlOf(await this.find(name));
    const text = await readQubeText(path, `the firewall of ${name}`);
    try {
      return text === undefined ? undefined : parseFirewallXml(text);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      throw new FailedError(`the firewall of ${name} cannot be parsed: ${error.message}`);
    }
  }

  async notes(name: string): Promise<string> {
    const path = this.layout.notesOf(await this.find(name));
    return (await readQubeText(path, `the notes of ${name}`)) ?? '';
  }

  async setProperty(name: string, property: string, value: string): Promise<void> {
    await this.store.updateQube(name, (qube, store) => withProperty(qube, store, property, value));
  }

  /**
   * The same for several VMs, in one step.
   *
   * @param onFailure called for a VM that cannot have it
   */
  protected async setProperties(
    names: readonly string[],
    property: string,
    value: string,
    onFailure: (name: string, error: unknown) => void,
  ): Promise<void> {
    await this.store.update((store) => {
      const changed = new Map<string, StoredQube>();
      for (const name of names) {
        try {
          changed.set(name, withProperty(findQube(store, name), store, property, value));
        } catch (error) {
          onFailure(name, error);
        }
      }
      return { ...store, qubes: store.qubes.map((qube) => changed.get(qube.name) ?? qube) };
    });
  }

  async resetProperty(name: string, property: string): Promise<void> {
    await this.store.updateQube(name, (qube) => ({
      ...qube,
      properties: new Map([...qube.properties].filter(([key]) => key !== property)),
    }));
  }

  async setFeature(name: string, feature: string, value: string): Promise<void> {
    if (!/^[\w.-]+$/.test(feature)) {
      throw new RefusedError(`${name} cannot have a feature called "${feature}"`);
    }
    await this.store.updateQube(name, (qube) => ({
      ...qube,
      features: new Map([...qube.features, [feature, value]]),
    }));
  }

  async removeFeature(name: string, feature: string): Promise<void> {
    await this.store.updateQube(name, (qube) => ({
      ...qube,
      features: new Map([...qube.features].filter(([key]) => key !== feature)),
    }));
  }

  /** As with qubesd, tags that tell who created a VM cannot be set. */
  async setTag(name: string, tag: string): Promise<void> {
    if (!/^[A-Za-z0-9_-]+$/.test(tag) || tag.startsWith('created-by-')) {
      throw new RefusedError(`${name} cannot be given the tag "${tag}"`);
    }
    await this.store.updateQube(name, (qube) => ({
      ...qube,
      tags: new Set([...qube.tags, tag]),
    }));
  }

  async removeTag(name: string, tag: string): Promise<void> {
    await this.store.updateQube(name, (qube) => ({
      ...qube,
      tags: new Set([...qube.tags].filter((other) => other !== tag)),
    }));
  }

  async setVolume(
    name: string,
    volume: string,
    { revisionsToKeep, ephemeral }: VolumeSettings,
  ): Promise<void> {
    await this.store.updateQube(name, (qube) => ({
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
    const path = this.layout.firewallXmlOf(await this.find(name));
    const text = formatFirewallXml(firewallRules(rules.map((rule) => [...rule])));
    await writeQubeText(path, `the firewall of ${name}`, text);
  }

  async setNotes(name: string, notes: string): Promise<void> {
    const path = this.layout.notesOf(await this.find(name));
    await writeQubeText(path, `the notes of ${name}`, notes);
  }

  async assignDevice(name: string, device: DeviceAssignment): Promise<void> {
    const { deviceClass, backend, port } = device;
    await this.store.updateQube(name, (qube, store) => {
      findQube(store, backend);
      const isSame = (other: DeviceAssignment): boolean =>
        other.deviceClass === deviceClass && other.backend === backend && other.port === port;
      if (qube.devices.some(isSame)) {
        throw new RefusedError(`${name} already has the device ${backend}:${port}`);
      }
      return { ...qube, devices: [...qube.devices, device] };
    });
  }

  protected async find(name: string): Promise<StoredQube> {
    return findQube(await this.store.read(), name);
  }
}
