import type { Element } from '@xmldom/xmldom';

import { DamagedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { FALLBACK_LABEL, QUBE_CLASSES } from '../qube.ts';
import type { Label, QubesStore, StoredQube, UnknownDomain } from './qubes-store.ts';
import { attributeOf, parseStrictXml } from './strict-xml.ts';
import {
  attributesOf,
  checkedName,
  featuresOf,
  labelOf,
  pairsOf,
  parseDomain,
  parseLabel,
  propertiesOf,
  refuseDuplicates,
  elementsIn,
  WHAT,
} from './parse-domain.ts';

/** Far more than a Qubes system can have, and still fast. */
const MOST_DOMAINS = 20_000;

/**
 * Parses the qubes.xml of R4, of a system or a backup. Throws DamagedError, naming the VM, when it is
 * malformed, contains an entity, a forbidden name, a duplicate name or qid, or is out of bounds. Unknown
 * elements are ignored.
 */
export function parseQubesXml(untrustedText: string): QubesStore {
  const { root, domains } = parseRoot(untrustedText);
  const labels = elementsIn(root, 'labels', 'label').map(parseLabel);
  const labelIn = (name: string, label: string): string => labelOf(name, label, labels);
  const qubes: StoredQube[] = [];
  const unknownDomains: UnknownDomain[] = [];
  for (const domain of domains) {
    const className = attributeOf(domain, 'class', WHAT);
    const qubeClass = QUBE_CLASSES.find((known) => known === className);
    if (qubeClass === undefined) unknownDomains.push(parseUnknown(domain, className));
    else qubes.push(parseDomain(domain, qubeClass, labelIn));
  }
  refuseDuplicates([...qubes, ...unknownDomains].map(({ name }) => name));
  refuseDuplicates(qubes.map(({ qid }) => `VM number ${qid}`));
  return {
    labels,
    pools: pairsOf(elementsIn(root, 'pools', 'pool'), 'name', (pool) =>
      attributesOf(pool, ['name']),
    ),
    properties: propertiesOf(root),
    // A stable sort: dom0 moves to the front, the rest stays in order.
    qubes: qubes.sort((a, b) => Number(isDom0(b)) - Number(isDom0(a))),
    unknownDomains,
  };
}

/** A VM of a backup, and what in it differs from the backup. */
export interface BackedUpDomain {
  readonly qube: StoredQube;
  readonly remarks: readonly string[];
}

/** An entry of a VM that cannot be used. */
export interface FlawedDomain {
  /** Printable. */
  readonly name: string;
  readonly why: string;
  readonly features: ReadonlyMap<string, string>;
}

/**
 * Parses the VMs of a backup's qubes.xml. A flaw in one of them makes that one unusable, not the others. Throws
 * DamagedError for what is not a list of VMs at all.
 */
export function parseBackedUpDomains(untrustedText: string): {
  readonly usable: readonly BackedUpDomain[];
  readonly flawed: readonly FlawedDomain[];
} {
  const { root, domains } = parseRoot(untrustedText);
  const labels = elementsIn(root, 'labels', 'label').flatMap((label) =>
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
      `label ${FALLBACK_LABEL}, since qubes.xml does not define "${printable(untrustedLabel, 40)}"`,
    );
    return FALLBACK_LABEL;
  };
  return { qube: parseDomain(domain, qubeClass, labelIn), remarks };
}

/** What is known about an entry that cannot be used. */
function flawedDomain(domain: Element, why: string): FlawedDomain {
  const untrustedPairs = (group: string, name: string): [string, string][] =>
    elementsIn(domain, group, name).map((each) => [
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

/** An array with the result; empty when it is damaged. */
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
  const domains = elementsIn(root, 'domains', 'domain');
  if (domains.length > MOST_DOMAINS) {
    throw new DamagedError(`qubes.xml contains more than ${MOST_DOMAINS} VMs`);
  }
  return { root, domains };
}

function parseUnknown(domain: Element, untrustedClass: string): UnknownDomain {
  const name = checkedName(propertiesOf(domain).get('name') ?? '');
  return { name, className: printable(untrustedClass, 40), features: featuresOf(domain) };
}

function isDom0({ qubeClass }: StoredQube): boolean {
  return qubeClass === 'AdminVM';
}
