import type { Element } from '@xmldom/xmldom';
import { DamagedError } from '../../../shared/errors.ts';
import type { Label, StoredVolume, StoredQube } from './qubes-store.ts';
import { attributeOf, childrenOf, elementText } from './strict-xml.ts';
import { printable } from '../../../shared/printable.ts';
import { isValidQubeName, uuidOf } from '../qube.ts';
import { parseDevices } from './devices-xml.ts';

/** For messages. */
export const WHAT = 'qubes.xml';
/** qubes.config.max_qid of qubes-core-admin is below this. */
const LARGEST_QID = 65_535;
/** Properties that are a field of `StoredQube`. */
const FIELDS = new Set(['name', 'qid', 'uuid', 'label']);

/** Throws DamagedError for a label that Qubes would not accept. */
export function parseLabel(label: Element): Label {
  const index = /^label-(\d{1,4})$/.exec(attributeOf(label, 'id', WHAT))?.[1];
  const name = elementText(label, WHAT);
  if (index === undefined || !/^[a-zA-Z0-9_.-]{1,64}$/.test(name)) {
    throw new DamagedError('qubes.xml has a label that Qubes would not accept');
  }
  return { index: Number(index), name, color: label.getAttribute('color') ?? '' };
}

/**
 * Parses the entry of one VM. Throws DamagedError, naming the VM, for what Qubes would not accept.
 *
 * @param labelIn returns the name of the label that a VM refers to
 */
export function parseDomain(
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
    uuid: uuidOf(all.get('uuid')),
    label: labelIn(name, all.get('label') ?? ''),
    properties: new Map([...all].filter(([property]) => !FIELDS.has(property))),
    features: featuresOf(domain),
    tags: new Set(elementsIn(domain, 'tags', 'tag').map((tag) => attributeOf(tag, 'name', WHAT))),
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
  if (name === 'dom0') throw new DamagedError('qubes.xml has a VM called dom0');
  return name;
}

/** Returns a VM's name. Throws DamagedError if Qubes would not accept it. */
export function checkedName(untrustedName: string): string {
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

/** Finds a label by its name, or as in older files by its id. */
export function labelOf(name: string, untrustedLabel: string, labels: readonly Label[]): string {
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
  const volumes = elementsIn(domain, 'volume-config', 'volume').map((volume): StoredVolume => {
    const untrustedName = attributeOf(volume, 'name', WHAT);
    const untrustedSize = volume.getAttribute('size') ?? '0';
    const size = /^\d{1,16}$/.test(untrustedSize) ? Number(untrustedSize) : Infinity;
    // A volume's name becomes a file name.
    if (!/^[a-z][a-z0-9_-]{0,30}$/.test(untrustedName) || !Number.isSafeInteger(size)) {
      throw new DamagedError('qubes.xml has a volume whose name or size is not valid');
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
  refuseDuplicates(volumes.map(({ name }) => `the volume ${name} of one VM`));
  return volumes;
}

/** The text of a property is its value; `ref` is how older files refer to VMs and labels. */
export function propertiesOf(parent: Element): Map<string, string> {
  return pairsOf(
    elementsIn(parent, 'properties', 'property'),
    'name',
    (property) => property.getAttribute('ref') ?? elementText(property, WHAT),
  );
}

/** A feature without text is set, but empty. */
export function featuresOf(domain: Element): Map<string, string> {
  return pairsOf(elementsIn(domain, 'features', 'feature'), 'name', (feature) =>
    elementText(feature, WHAT),
  );
}

/** Undefined for what Qubes would not accept, which must not prevent restoring the volume. */
function revisionsOf(untrustedNumber: string | null): number | undefined {
  return /^(-1|\d{1,9})$/.test(untrustedNumber ?? '') ? Number(untrustedNumber) : undefined;
}

function switchOf(untrustedWord: string | null): boolean | undefined {
  if (untrustedWord === 'True') return true;
  return untrustedWord === 'False' ? false : undefined;
}

/** The elements `name` in all children `group` of an element. */
export function elementsIn(parent: Element, group: string, name: string): Element[] {
  return childrenOf(parent, group).flatMap((element) => childrenOf(element, name));
}

/** The values of elements by the attribute `key`. Throws DamagedError if one is there twice. */
export function pairsOf<T>(
  elements: readonly Element[],
  key: string,
  valueOf: (element: Element) => T,
): Map<string, T> {
  refuseDuplicates(elements.map((element) => attributeOf(element, key, WHAT)));
  return new Map(elements.map((element) => [attributeOf(element, key, WHAT), valueOf(element)]));
}

/** The attributes of an element, except those in `without`. */
export function attributesOf(element: Element, without: readonly string[]): Map<string, string> {
  const pairs = Array.from(element.attributes, ({ name, value }): [string, string] => [
    name,
    value,
  ]);
  return new Map(pairs.filter(([name]) => !without.includes(name)));
}

/** Throws DamagedError if a name is there twice. */
export function refuseDuplicates(names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) throw new DamagedError(`qubes.xml has ${printable(name, 60)} twice`);
    seen.add(name);
  }
}
