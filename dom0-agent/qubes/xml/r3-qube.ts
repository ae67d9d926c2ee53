import type { Element } from '@xmldom/xmldom';
import { printable } from '../../../shared/printable.ts';
import { type DeviceAssignment, FALLBACK_LABEL, type Qube, type Volume } from '../qube.ts';
import { parseStrings, parseSwitches } from './python-literals.ts';
import { qidOf } from './r3-names.ts';

/** The names of the VMs by qid, and the root element with the settings for all of them. */
export interface R3Collection {
  readonly root: Element;
  readonly nameOf: ReadonlyMap<number, string>;
}

/** Attributes that became properties of the same name: name, default, valid values. */
const PLAIN_PROPERTIES: readonly (readonly [string, string, RegExp])[] = [
  ['include_in_backups', 'True', /^(True|False)$/],
  ['debug', 'False', /^(True|False)$/],
  ['autostart', 'False', /^(True|False)$/],
  ['qrexec_timeout', '60', /^[0-9]{1,9}$/],
  ['vcpus', '2', /^[0-9]{1,9}$/],
  ['memory', '400', /^[0-9]{1,9}$/],
  ['maxmem', '4000', /^[0-9]{1,9}$/],
  ['default_user', 'user', /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/],
  ['mac', 'None', /^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$/],
];
/** Attributes that count only where `uses_default_<name>` is False. */
const KERNEL_PROPERTIES = ['kernel', 'kernelopts'] as const;

/** Services of R3 that became features of another name than `service.<name>`. */
const FEATURE_OF_SERVICE: ReadonlyMap<string, string> = new Map([
  ['qubes-update-check', 'check-updates'],
]);

/** A feature's values for true and false. */
const YES = '1';
const NO = '';

/** A VM with settings of R4, and what had to be left out. */
export interface TranslatedQube {
  readonly qube: Qube;
  readonly remarks: string[];
}

/** Converts a named VM other than dom0 to the settings of R4. */
export function translateR3Qube(vm: Element, collection: R3Collection): TranslatedQube {
  const qid = qidOf(vm) ?? 0;
  const remarks: string[] = [];
  const properties = new Map<string, string>();
  const template = templateOf(vm, collection);
  if (template !== undefined) properties.set('template', template);
  addPlainProperties(vm, properties, remarks);
  addKernel(vm, properties, remarks);
  addNetwork(vm, collection, properties);
  const qubeClass = isTemplate(vm)
    ? 'TemplateVM'
    : template === undefined
      ? 'StandaloneVM'
      : 'AppVM';
  const qube = {
    name: collection.nameOf.get(qid) ?? '',
    qubeClass,
    qid,
    uuid: undefined,
    label: labelOf(vm, remarks),
    properties,
    features: featuresOf(vm, qubeClass === 'StandaloneVM', remarks),
    tags: new Set<string>(),
    devices: devicesOf(vm, remarks),
    volumes: qubeClass === 'AppVM' ? [volume('private')] : [volume('root'), volume('private')],
  } as const;
  return { qube, remarks };
}

function isTemplate({ tagName }: Element): boolean {
  return tagName === 'QubesTemplateVm' || tagName === 'QubesTemplateHVm';
}

function templateOf(vm: Element, collection: R3Collection): string | undefined {
  return isTemplate(vm) ? undefined : referenceOf(vm, 'template_qid', collection);
}

/**
 * The name of the VM whose qid is in an attribute; undefined for `none`. For a VM that is not in the list,
 * `number 77`, which no VM is called, so that it is reported as missing.
 */
function referenceOf(
  element: Element,
  attribute: string,
  { nameOf }: R3Collection,
): string | undefined {
  const untrustedQid = element.getAttribute(attribute) ?? 'none';
  if (untrustedQid.toLowerCase() === 'none') return undefined;
  const name = /^[0-9]{1,9}$/.test(untrustedQid) ? nameOf.get(Number(untrustedQid)) : undefined;
  return name ?? `number ${printable(untrustedQid, 20)}`;
}

function labelOf(vm: Element, remarks: string[]): string {
  const untrustedLabel = vm.getAttribute('label') ?? FALLBACK_LABEL;
  if (/^[a-z][a-z0-9_-]{0,31}$/.test(untrustedLabel)) return untrustedLabel;
  remarks.push(leftOut('label', untrustedLabel));
  return FALLBACK_LABEL;
}

function addPlainProperties(vm: Element, properties: Map<string, string>, remarks: string[]): void {
  for (const [name, usual, pattern] of PLAIN_PROPERTIES) {
    const untrustedValue = vm.getAttribute(name) ?? usual;
    if (untrustedValue === usual || untrustedValue === '') continue;
    if (pattern.test(untrustedValue)) properties.set(name, untrustedValue);
    else remarks.push(leftOut(name, untrustedValue));
  }
}

function addKernel(vm: Element, properties: Map<string, string>, remarks: string[]): void {
  for (const name of KERNEL_PROPERTIES) {
    if (vm.getAttribute(`uses_default_${name}`)?.toLowerCase() !== 'false') continue;
    const untrustedValue = vm.getAttribute(name) ?? '';
    if (/^[\x20-\x7e]{0,1000}$/.test(untrustedValue)) {
      properties.set(name, untrustedValue.toLowerCase() === 'none' ? '' : untrustedValue);
    } else {
      remarks.push(leftOut(name, untrustedValue));
    }
  }
  if (isHvm(vm)) {
    properties.set('virt_mode', 'hvm');
    properties.set('kernel', '');
  }
}

function isHvm({ tagName }: Element): boolean {
  return tagName === 'QubesHVm' || tagName === 'QubesTemplateHVm';
}

function addNetwork(vm: Element, collection: R3Collection, properties: Map<string, string>): void {
  const isNetVm = vm.tagName === 'QubesNetVm';
  if (isNetVm || vm.tagName === 'QubesProxyVm') properties.set('provides_network', 'True');
  if (isNetVm) {
    properties.set('netvm', '');
  } else if (vm.getAttribute('uses_default_netvm') === 'False') {
    properties.set('netvm', referenceOf(vm, 'netvm_qid', collection) ?? '');
  }
  const usual = referenceOf(collection.root, 'default_netvm', collection) ?? '';
  const ofDisposables =
    vm.getAttribute('uses_default_dispvm_netvm') === 'False'
      ? (referenceOf(vm, 'dispvm_netvm_qid', collection) ?? '')
      : (properties.get('netvm') ?? usual);
  // In R3 a VM's disposables had a network of the VM's choice, by default its own. R4 needs a template
  // with that network for it, which the backup does not contain: none is better than a leak.
  if (ofDisposables !== usual) properties.set('default_dispvm', '');
}

function featuresOf(vm: Element, standalone: boolean, remarks: string[]): Map<string, string> {
  const features = new Map<string, string>();
  // Windows notices when the emulated machine changes; R3 had no Linux stubdomain.
  if (isHvm(vm)) features.set('linux-stubdom', NO);
  // R3 assumed that VMs other than HVMs have Qubes' agents.
  if (vm.tagName === 'QubesTemplateVm' || (vm.tagName === 'QubesAppVm' && standalone)) {
    features.set('qrexec', YES);
    features.set('gui', YES);
  }
  if (vm.getAttribute('internal') === 'True') features.set('internal', YES);
  const untrustedServices = vm.getAttribute('services') ?? '{}';
  const services = parseSwitches(untrustedServices);
  if (services === undefined) remarks.push(leftOut('services', untrustedServices));
  for (const [service, on] of services ?? []) {
    if (!/^[A-Za-z0-9_.-]{1,100}$/.test(service)) remarks.push(leftOut('service', service));
    else features.set(FEATURE_OF_SERVICE.get(service) ?? `service.${service}`, on ? YES : NO);
  }
  return features;
}

/** PCI devices, `02:00.0`, which R4 names `02_00.0`. */
function devicesOf(vm: Element, remarks: string[]): DeviceAssignment[] {
  const fields = new Map([
    ['device_id', '*'],
    ['mode', 'required'],
  ]);
  if (vm.getAttribute('pci_strictreset') === 'False') fields.set('_no-strict-reset', 'True');
  const untrustedDevices = vm.getAttribute('pcidevs') ?? '[]';
  const untrustedList = parseStrings(untrustedDevices);
  if (untrustedList === undefined) remarks.push(leftOut('pcidevs', untrustedDevices));
  return (untrustedList ?? []).flatMap((untrustedDevice): DeviceAssignment[] => {
    if (!/^([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i.test(untrustedDevice)) {
      remarks.push(leftOut('pcidevs', untrustedDevice));
      return [];
    }
    const port = untrustedDevice.replaceAll(':', '_');
    return [{ deviceClass: 'pci', backend: 'dom0', port, fields }];
  });
}

/** R3 does not record the size of a volume: its inner tar does. */
function volume(name: string): Volume {
  return { name, size: 0, usage: undefined, pool: '', vid: '', saveOnStop: true };
}

/** A remark. */
function leftOut(attribute: string, untrustedValue: string): string {
  return `${attribute} "${printable(untrustedValue, 60)}" left out: Qubes does not accept it`;
}

/**
 * The value of the feature `menu-items` (separated by spaces) that an R3 `whitelisted-appmenus.list`
 * becomes: a line for each `.desktop` file. Lines that are not plain file names are left out.
 */
export function menuItemsOf(untrustedList: string): string {
  return untrustedList
    .split(/\r?\n/)
    .filter((untrustedLine) => /^[A-Za-z0-9_+@:.-]{1,255}$/.test(untrustedLine))
    .join(' ');
}
