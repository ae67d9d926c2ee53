import { FailedError, messageOf } from '../../shared/errors.ts';
import { parseFirewallXml } from '../qubes/firewall-xml.ts';
import type { FirewallRule } from '../qubes/qube.ts';
import { isR3Firewall, parseR3Firewall } from '../qubes/store/r3-firewall.ts';
import { menuItemsOf } from '../qubes/store/r3-menu.ts';
import type { QubesSystem } from '../qubes/system.ts';
import { SystemGoneError } from '../qubes/system-gone-error.ts';
import type { PlannedRestore } from './plan-qube.ts';
import { isQubeProperty } from './references.ts';

/** The small files of a VM in the archive. */
export interface SmallFiles {
  firewallXml?: string;
  notes?: string;
  /** `whitelisted-appmenus.list` of formats 2 and 3. */
  menu?: string;
}

/** A VM that is restored but for its settings. */
export interface Unset {
  readonly planned: PlannedRestore;
  readonly smallFiles: SmallFiles;
}

/** A setting in words, and how it is made. */
type Setting = readonly [what: string, set: () => Promise<void>];
type Round = (system: QubesSystem, qube: Unset) => Setting[];

/**
 * In which rounds restored VMs are given their settings, each round for all VMs: a VM can be another's
 * netvm only when it provides network; and a feature may make the system start disposables, which
 * must find everything else done.
 */
export const ROUNDS: readonly Round[] = [ownProperties, relations, features];

/**
 * Makes the settings of one round. One that this system refuses does not stop the rest: it is among
 * the remarks that are given back. Throws SystemGoneError.
 */
export async function applyRound(
  round: Round,
  system: QubesSystem,
  qube: Unset,
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

function ownProperties(system: QubesSystem, { planned }: Unset): Setting[] {
  const { name } = planned.newQube;
  return [...planned.properties]
    .filter(([property]) => !isQubeProperty(property))
    .map(([property, value]) => [property, () => system.setProperty(name, property, value)]);
}

function relations(system: QubesSystem, { planned, smallFiles }: Unset): Setting[] {
  const { properties, tags, devices, withFirewall, newQube } = planned;
  const { name } = newQube;
  const settings: Setting[] = [];
  const add = (what: string, set: () => Promise<void>): void => void settings.push([what, set]);
  for (const [property, value] of properties) {
    if (isQubeProperty(property)) add(property, () => refer(system, name, property, value));
  }
  for (const tag of tags) add(`the tag ${tag}`, () => system.setTag(name, tag));
  for (const device of devices) {
    add(`the device ${device.port}`, () => system.assignDevice(name, device));
  }
  const { firewallXml, notes } = smallFiles;
  if (withFirewall && firewallXml !== undefined) {
    add('the firewall', () => setFirewall(system, name, firewallXml));
  }
  if (notes !== undefined) add('the notes', () => system.setNotes(name, notes));
  return settings;
}

function features(system: QubesSystem, { planned, smallFiles: { menu } }: Unset): Setting[] {
  const { name } = planned.newQube;
  const all = new Map(planned.features);
  if (menu !== undefined && planned.withMenu && !all.has('menu-items')) {
    all.set('menu-items', menuItemsOf(menu));
  }
  return [...all].map(([feature, value]) => [
    `the feature ${feature}`,
    () => system.setFeature(name, feature, value),
  ]);
}

/**
 * What decides on a VM's way to the network is never left at the system's default when it cannot be
 * set: that may be a way that the VM was not to take.
 */
const NONE_IN_NEED = ['netvm', 'default_dispvm'];

async function refer(
  system: QubesSystem,
  name: string,
  property: string,
  value: string,
): Promise<void> {
  try {
    await system.setProperty(name, property, value);
  } catch (error) {
    if (!NONE_IN_NEED.includes(property)) throw error;
    await system.setProperty(name, property, '');
    throw new FailedError(`${messageOf(error)}; it has none now`, { cause: error });
  }
}

async function setFirewall(system: QubesSystem, name: string, text: string): Promise<void> {
  try {
    await system.setFirewall(name, parseRules(text));
  } catch (error) {
    await system.setProperty(name, 'netvm', '');
    throw new FailedError(`${messageOf(error)}; it has no netvm now`, { cause: error });
  }
}

function parseRules(text: string): readonly FirewallRule[] {
  return isR3Firewall(text) ? parseR3Firewall(text) : parseFirewallXml(text);
}
