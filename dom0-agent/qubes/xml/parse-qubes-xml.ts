import type { Element } from '@xmldom/xmldom';

import { DamagedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { isValidQubeName, QUBE_CLASSES } from '../qube.ts';
import { parseDevices } from './devices-xml.ts';
import type { Label, QubesStore, StoredQube, StoredVolume, UnknownDomain } from './qubes-store.ts';
import { attributeOf, childrenOf, parseStrictXml, textOf } from './strict-xml.ts';

const WHAT = 'qubes.xml';
/** Far more than a Qubes system can have, and still quick. */
const MOST_DOMAINS = 20_000;
/** qubes.config.max_qid of qubes-core-admin is below this. */
const LARGEST_QID = 65_535;
/** Properties that are a field of `StoredQube`. */
const FIELDS = new Set(['name', 'qid', 'uuid', 'label']);
/** The label of a VM in a backup that tells none which could be. */
const LABEL_IN_NEED = 'red';

/**
 * Parses the qubes.xml of R4: a system's own, or a backup's. Throws DamagedError, naming the VM, when
 * it is malformed, holds an entity, a forbidden name, a name or a qid twice, or is out of bounds.
 * Elements that coffer does not know are passed over.
 */
export function parseQubesXml(untrustedText: string): QubesStore {
  const { root, domains } = parseRoot(untrustedText);
  const labels = within(root, 'labels', 'label').map(parseLabel);
  const labelIn = (name: string, label: string): string => labelOf(name, label, labels);
  const qubes: StoredQube[] = [];
  const unknownDomains: UnknownDomain[] = [];
  for (const domain of domains) {
    const className = attributeOf(domain, 'class', WHAT);
    const qubeClass = QUBE_CLASSES.find((known) => known === className);
    if (qubeClass === undefined) unknownDomains.push(parseUnknown(domain, className));
    else qubes.push(parseDomain(domain, qubeClass, labelIn));
  }
  refuseTwice([...qubes, ...unknownDomains].map(({ name }) => name));
  refuseTwice(qubes.map(({ qid }) => `VM number ${qid}`));
  return {
    labels,
    pools: pairsOf(within(root, 'pools', 'pool'), 'name', (pool) => attributesOf(pool, ['name'])),
    properties: propertiesOf(root),
    // A stable sort: dom0 goes to the front, all else stays.
    qubes: qubes.sort((a, b) => Number(isDom0(b)) - Number(isDom0(a))),
    unknownDomains,
  };
}

/** A VM of a backup, and what in it is not as the backup has it. */
export interface BackedUpDomain {
  readonly qube: StoredQube;
  readonly remarks: readonly string[];
}

/** An entry of a VM that cannot be used. */
export interface FlawedDomain {
  /** Fit to be shown. */
  readonly name: string;
  readonly why: string;
  readonly features: ReadonlyMap<string, string>;
}

/**
 * Parses the VMs of a backup's qubes.xml. A flaw in one of them refuses that one, not the others. Throws
 * DamagedError for what is no list of VMs at all.
 */
export function parseBackedUpDomains(untrustedText: string): {
  readonly usable: readonly BackedUpDomain[];
  readonly flawed: readonly FlawedDomain[];
} {
  const { root, domains } = parseRoot(untrustedText);
  const labels = within(root, 'labels', 'label').flatMap((label) =>
    orNothing(() => parseLabel(label)),
  );
  const usable: BackedUpDomain[] = [];
  const flawed: FlawedDomain[] = [];
  const names = new Set<string>();
  for (const domain of domains) {
    try {
      const parsed = parseBackedUp(domain, labels);
      const { name } = parsed.qube;
      if (names.has(name)) throw new DamagedError('qubes.xml has another VM of that name');
      names.add(name);
      usable.push(parsed);
    } catch (error) {
      if (!(error instanceof DamagedError)) throw error;
      flawed.push(flawedDomain(domain, error.message));
    }
  }
  return { usable, flawed };
}

function parseBackedUp(domain: Element, labels: readonly Label[]): BackedUpDomain {
  const className = attributeOf(domain, 'class', WHAT);
  const qubeClass = QUBE_CLASSES.find((known) => known === className);
  if (qubeClass === undefined) {
    throw new DamagedError(`coffer cannot restore VMs of the class ${printable(className, 40)}`);
  }
  const remarks: string[] = [];
  const labelIn = (name: string, untrustedLabel: string): string => {
    const [found] = orNothing(() => labelOf(name, untrustedLabel, labels));
    if (found !== undefined) return found;
    remarks.push(
      `label ${LABEL_IN_NEED}, since qubes.xml does not define "${printable(untrustedLabel, 40)}"`,
    );
    return LABEL_IN_NEED;
  };
  return { qube: parseDomain(domain, qubeClass, labelIn), remarks };
}

/** What can be told of an entry that cannot be used. */
function flawedDomain(domain: Element, why: string): FlawedDomain {
  const untrustedPairs = (group: string, name: string): [string, string][] =>
    within(domain, group, name).map((each) => [
      each.getAttribute('name') ?? '',
      each.textContent ?? '',
    ]);
  const isDom0 = domain.getAttribute('class') === 'AdminVM';
  const untrustedName =
    new Map(untrustedPairs('properties', 'property')).get('name') ?? (isDom0 ? 'dom0' : '');
  const untrustedId = domain.getAttribute('id') ?? 'a VM';
  return {
    name: printable(untrustedName === '' ? `${untrustedId}, without a name` : untrustedName, 40),
    why,
    features: new Map(untrustedPairs('features', 'feature')),
  };
}

/** An array of what comes of it; empty when it is damaged. */
function orNothing<T>(parse: () => T): T[] {
  try {
    return [parse()];
  } catch (error) {
    if (error instanceof DamagedError) return [];
    throw error;
  }
}

function parseRoot(untrustedText: string): { root: Element; domains: Element[] } {
  const root = parseStrictXml(untrustedText, WHAT);
  if (root.tagName !== 'qubes') throw new DamagedError('qubes.xml does not begin with <qubes>');
  const domains = within(root, 'domains', 'domain');
  if (domains.length > MOST_DOMAINS) {
    throw new DamagedError(`qubes.xml holds more than ${MOST_DOMAINS} VMs`);
  }
  return { root, domains };
}

function parseLabel(label: Element): Label {
  const index = /^label-(\d{1,4})$/.exec(attributeOf(label, 'id', WHAT))?.[1];
  const name = textOf(label, WHAT);
  if (index === undefined || !/^[a-zA-Z0-9_.-]{1,64}$/.test(name)) {
    throw new DamagedError('qubes.xml has a label that Qubes would not take');
  }
  return { index: Number(index), name, color: label.getAttribute('color') ?? '' };
}

function parseUnknown(domain: Element, untrustedClass: string): UnknownDomain {
  const name = checkedName(propertiesOf(domain).get('name') ?? '');
  return { name, className: printable(untrustedClass, 40), features: featuresOf(domain) };
}

function parseDomain(
  domain: Element,
  qubeClass: StoredQube['qubeClass'],
  labelIn: (name: string, untrustedLabel: string) => string,
): StoredQube {
  const all = propertiesOf(domain);
  const name = nameOf(qubeClass, all);
  return {
    name,
    qubeClass,
    qid: qidOf(name, all.get('qid') ?? attributeOf(domain, 'id', WHAT).replace(/^domain-/, '')),
    uuid: all.get('uuid'),
    label: labelIn(name, all.get('label') ?? ''),
    properties: new Map([...all].filter(([property]) => !FIELDS.has(property))),
    features: featuresOf(domain),
    tags: new Set(within(domain, 'tags', 'tag').map((tag) => attributeOf(tag, 'name', WHAT))),
    devices: parseDevices(domain, WHAT),
    volumes: volumesOf(domain),
  };
}

function nameOf(
  qubeClass: StoredQube['qubeClass'],
  properties: ReadonlyMap<string, string>,
): string {
  if (qubeClass === 'AdminVM') return 'dom0';
  const name = checkedName(properties.get('name') ?? '');
  if (name === 'dom0') throw new DamagedError('qubes.xml has a VM that calls itself dom0');
  return name;
}

function checkedName(untrustedName: string): string {
  if (isValidQubeName(untrustedName)) return untrustedName;
  throw new DamagedError(
    `qubes.xml has a VM with the name "${printable(untrustedName, 40)}", which Qubes forbids`,
  );
}

function qidOf(name: string, untrustedQid: string): number {
  const qid = /^\d{1,5}$/.test(untrustedQid) ? Number(untrustedQid) : LARGEST_QID + 1;
  if (qid > LARGEST_QID || (qid === 0) !== (name === 'dom0')) {
    throw new DamagedError(`qubes.xml gives ${name} a number (qid) that it cannot have`);
  }
  return qid;
}

/** A label stands by its name, in older files by its id. */
function labelOf(name: string, untrustedLabel: string, labels: readonly Label[]): string {
  const label = labels.find(
    (l) => l.name === untrustedLabel || `label-${l.index}` === untrustedLabel,
  );
  if (label !== undefined) return label.name;
  throw new DamagedError(
    `qubes.xml gives ${name} the label "${printable(untrustedLabel, 40)}", which it does not define`,
  );
}

function volumesOf(domain: Element): StoredVolume[] {
  const known = ['name', 'pool', 'vid', 'size', 'save_on_stop', 'revisions_to_keep', 'ephemeral'];
  const volumes = within(domain, 'volume-config', 'volume').map((volume): StoredVolume => {
    const untrustedName = attributeOf(volume, 'name', WHAT);
    const untrustedSize = volume.getAttribute('size') ?? '0';
    const size = /^\d{1,16}$/.test(untrustedSize) ? Number(untrustedSize) : Infinity;
    // A volume's name becomes a file name.
    if (!/^[a-z][a-z0-9_-]{0,30}$/.test(untrustedName) || !Number.isSafeInteger(size)) {
      throw new DamagedError('qubes.xml has a volume whose name or size is not one');
    }
    return {
      name: untrustedName,
      size,
      usage: undefined,
      pool: volume.getAttribute('pool') ?? '',
      vid: volume.getAttribute('vid') ?? '',
      saveOnStop: volume.getAttribute('save_on_stop') === 'True',
      revisionsToKeep: revisionsOf(volume.getAttribute('revisions_to_keep')),
      ephemeral: switchOf(volume.getAttribute('ephemeral')),
      settings: attributesOf(volume, known),
    };
  });
  refuseTwice(volumes.map(({ name }) => `the volume ${name} of one VM`));
  return volumes;
}

/** The text of a property is its value; `ref` is how older files refer to VMs and labels. */
function propertiesOf(parent: Element): Map<string, string> {
  return pairsOf(
    within(parent, 'properties', 'property'),
    'name',
    (property) => property.getAttribute('ref') ?? textOf(property, WHAT),
  );
}

/** A feature without text is set, but empty. */
function featuresOf(domain: Element): Map<string, string> {
  return pairsOf(within(domain, 'features', 'feature'), 'name', (feature) => textOf(feature, WHAT));
}

/** What Qubes would not take is as if it were not there: it must not keep a volume from its restore. */
function revisionsOf(untrustedNumber: string | null): number | undefined {
  return /^(-1|\d{1,9})$/.test(untrustedNumber ?? '') ? Number(untrustedNumber) : undefined;
}

function switchOf(untrustedWord: string | null): boolean | undefined {
  if (untrustedWord === 'True') return true;
  return untrustedWord === 'False' ? false : undefined;
}

function within(parent: Element, group: string, name: string): Element[] {
  return childrenOf(parent, group).flatMap((element) => childrenOf(element, name));
}

function pairsOf<T>(
  elements: readonly Element[],
  key: string,
  valueOf: (element: Element) => T,
): Map<string, T> {
  refuseTwice(elements.map((element) => attributeOf(element, key, WHAT)));
  return new Map(elements.map((element) => [attributeOf(element, key, WHAT), valueOf(element)]));
}

function attributesOf(element: Element, without: readonly string[]): Map<string, string> {
  const pairs = Array.from(element.attributes, ({ name, value }): [string, string] => [
    name,
    value,
  ]);
  return new Map(pairs.filter(([name]) => !without.includes(name)));
}

function isDom0({ qubeClass }: StoredQube): boolean {
  return qubeClass === 'AdminVM';
}

function refuseTwice(names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw new DamagedError(`qubes.xml has ${printable(name, 60)} twice`);
    seen.add(name);
  }
}
