import { DamagedError } from '../../../shared/errors.ts';
import { BadRuleError, firewallRules } from '../firewall.ts';
import type { FirewallRule } from '../qube.ts';
import { attributeOf, childrenOf, parseStrictXml, elementText } from './strict-xml.ts';
import { element, type NewElement, writeXml } from './write-xml.ts';

const WHAT = 'firewall.xml';

/** The order in which qubesd writes a rule's options: here the comment is not the last. */
const ORDER = [
  'action',
  'comment',
  'expire',
  'dsthost',
  'proto',
  'specialtarget',
  'dstports',
  'icmptype',
];

/**
 * Parses the firewall.xml of R4, as it is stored next to a VM's images and in backups (`load_v2` in
 * qubes/firewall.py of qubes-core-admin). Throws DamagedError for anything that qubesd would not accept.
 */
export function parseFirewallXml(untrustedText: string): FirewallRule[] {
  const root = parseStrictXml(untrustedText, WHAT);
  if (root.tagName !== 'firewall' || root.getAttribute('version') !== '2') {
    throw new DamagedError('firewall.xml does not begin with <firewall version="2">');
  }
  const untrustedRules = childrenOf(root, 'rules')
    .flatMap((rules) => childrenOf(rules, 'rule'))
    .map((rule) =>
      childrenOf(rule, 'properties')
        .flatMap((properties) => childrenOf(properties, 'property'))
        .map(
          (property) => [attributeOf(property, 'name', WHAT), elementText(property, WHAT)] as const,
        ),
    );
  try {
    return firewallRules(untrustedRules);
  } catch (error) {
    if (error instanceof BadRuleError) throw new DamagedError(`in firewall.xml, ${error.message}`);
    throw error;
  }
}

/** The inverse of `parseFirewallXml`. */
export function formatFirewallXml(rules: readonly FirewallRule[]): string {
  return writeXml(
    element('firewall', [['version', '2']], [element('rules', [], rules.map(formatRule))]),
  );
}

function formatRule(rule: FirewallRule): NewElement {
  const options = new Map(Array.from(rule, ([key, value]) => optionInXml(key, value)));
  return element(
    'rule',
    [],
    [
      element(
        'properties',
        [],
        ORDER.flatMap((key) => {
          const value = options.get(key);
          return value === undefined ? [] : [element('property', [['name', key]], value)];
        }),
      ),
    ],
  );
}

/** In XML, an address is a host, and a range of one port is that port. */
function optionInXml(key: string, value: string): [string, string] {
  if (key === 'dst4' || key === 'dst6') return ['dsthost', value];
  if (key === 'dstports') return [key, value.replace(/^(\d+)-\1$/, '$1')];
  return [key, value];
}
