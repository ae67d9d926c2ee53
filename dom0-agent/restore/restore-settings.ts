import { FailedError, messageOf } from '../../shared/errors.ts';
import { parseFirewallXml } from '../qubes/xml/firewall-xml.ts';
import type { FirewallRule } from '../qubes/qube.ts';
import { isR3Firewall, parseR3Firewall } from '../qubes/xml/r3-firewall.ts';
import { menuItemsOf } from '../qubes/xml/r3-qube.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { SystemGoneError } from '../qubes/system.ts';
import type { PlannedRestore } from './plan-qube.ts';
import { isQubeProperty } from './references.ts';

/** The small files of a VM in the archive. */
export interface SmallFiles {
  firewallXml?: string;
  notes?: string;
  /** `whitelisted-appmenus.list` of formats 2 and 3. */
  menu?: string;
}

/** What the settings of a restored VM are made from. */
export interface SettingsSource {
  readonly planned: PlannedRestore;
  readonly smallFiles: SmallFiles;
}

/** A setting's name for messages, and how to set it. */
type Setting = readonly [what: string, set: () => Promise<void>];
/** The settings of a VM that are applied together. */
export type Round = (system: QubesSystem, qube: SettingsSource) => Setting[];

/**
 * Settings are applied in rounds, each for all VMs: a VM can only be another's netvm when it already provides
 * network. Network access comes last.
 */
export const ROUNDS: readonly Round[] = [ownProperties, relations, features, networkAccess];

/**
 * Settings that may automatically start a VM, or disposables based on it. They are applied when the VM is complete and
 * can be started: before that, its disposables cannot be started either.
 */
export function starters(system: QubesSystem, { planned }: SettingsSource): Setting[] {
  return [
    ...propertySettings(system, planned, isStarter),
    ...featureSettings(system, planned.newQube.name, planned.features, isStarter),
  ];
}

function isStarter(property: string): boolean {
  return property === 'autostart' || property === 'preload-dispvm-max';
}

/**
 * Applies the settings of one round. If this system refuses a setting, the rest are still applied; returns a remark for
 * each refused one. Throws SystemGoneError.
 */
export async function applyRound(
  round: Round,
  system: QubesSystem,
  qube: SettingsSource,
): Promise<string[]> {
  const refused: string[] = [];
  for (const [what, set] of round(system, qube)) {
    try {
      await set();
    } catch (error) {
      if (error instanceof SystemGoneError) throw error;
      refused.push(`${what} not set: ${messageOf(error)}`);
    }
  }
  return refused;
}

function ownProperties(system: QubesSystem, { planned }: SettingsSource): Setting[] {
  return propertySettings(
    system,
    planned,
    (property) => !isQubeProperty(property) && !isStarter(property),
  );
}

function relations(
  system: QubesSystem,
  { planned, smallFiles: { notes } }: SettingsSource,
): Setting[] {
  const { name } = planned.newQube;
  const settings = propertySettings(
    system,
    planned,
    (property) => isQubeProperty(property) && !isNetworkAccess(property),
  );
  const add = (what: string, set: () => Promise<void>): void => void settings.push([what, set]);
  for (const tag of planned.tags) add(`the tag ${tag}`, () => system.setTag(name, tag));
  for (const device of planned.devices) {
    add(`the device ${device.port}`, () => system.assignDevice(name, device));
  }
  for (const [volume, wanted] of planned.volumes) {
    add(`the settings of the volume ${volume}`, () => system.setVolume(name, volume, wanted));
  }
  if (notes !== undefined) add('the notes', () => system.setNotes(name, notes));
  return settings;
}

function features(
  system: QubesSystem,
  { planned, smallFiles: { menu } }: SettingsSource,
): Setting[] {
  const all = new Map(planned.features);
  if (menu !== undefined && planned.withMenu && !all.has('menu-items')) {
    all.set('menu-items', menuItemsOf(menu));
  }
  return featureSettings(system, planned.newQube.name, all, (feature) => !isStarter(feature));
}

/** The properties that a VM is created without; see created-qubes.ts. */
const NETWORK_ACCESS = ['netvm', 'default_dispvm'] as const;

function isNetworkAccess(property: string): boolean {
  return NETWORK_ACCESS.some((known) => known === property);
}

/**
 * The firewall, and the network properties only if that succeeds. A property that cannot be set stays empty, as
 * created: the system's default might give the VM access that it was not meant to have.
 */
function networkAccess(
  system: QubesSystem,
  { planned, smallFiles: { firewallXml } }: SettingsSource,
): Setting[] {
  const { properties, newQube } = planned;
  const { name } = newQube;
  let isClosed = false;
  const open = (property: (typeof NETWORK_ACCESS)[number]) => async (): Promise<void> => {
    if (isClosed) throw new FailedError('its firewall is not set; it has none now');
    const value = properties.get(property);
    try {
      if (value === undefined) await system.resetProperty(name, property);
      else await system.setProperty(name, property, value);
    } catch (error) {
      if (error instanceof SystemGoneError) throw error;
      throw new FailedError(`${messageOf(error)}; it has none now`, { cause: error });
    }
  };
  const firewall = async (): Promise<void> => {
    if (firewallXml === undefined) return;
    isClosed = true;
    await system.setFirewall(name, parseRules(firewallXml));
    isClosed = false;
  };
  return [
    ['the firewall', firewall],
    ...NETWORK_ACCESS.map((property): Setting => [property, open(property)]),
  ];
}

function propertySettings(
  system: QubesSystem,
  { newQube: { name }, properties }: PlannedRestore,
  isMeant: (property: string) => boolean,
): Setting[] {
  return [...properties]
    .filter(([property]) => isMeant(property))
    .map(([property, value]) => [property, () => system.setProperty(name, property, value)]);
}

function featureSettings(
  system: QubesSystem,
  name: string,
  all: ReadonlyMap<string, string>,
  isMeant: (feature: string) => boolean,
): Setting[] {
  return [...all]
    .filter(([feature]) => isMeant(feature))
    .map(([feature, value]) => [
      `the feature ${feature}`,
      () => system.setFeature(name, feature, value),
    ]);
}

function parseRules(text: string): readonly FirewallRule[] {
  return isR3Firewall(text) ? parseR3Firewall(text) : parseFirewallXml(text);
}
