import { isIPv4, isIPv6 } from 'node:net';
import { Element } from '@xmldom/xmldom';
import { DamagedError } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import type { FirewallRule } from '../qube.ts';
import { parseStrictXml } from './strict-xml.ts';

/** Far more than a VM's firewall.xml contains; each becomes up to two rules. */
const MOST_RULES = 10_000;

/** Whether a firewall.xml has the form of R3, not of R4. */
export function isR3Firewall(text: string): boolean {
  return /<QubesFirewallRules[\s/>]/.test(text.slice(0, 4096));
}

/**
 * Parses a firewall.xml of R3, `<QubesFirewallRules policy= dns= icmp=>` with `<rule address= netmask= proto=
 * port= toport=>`, and returns the equivalent rules of R4, as qubesd itself converts it (qubes/firewall.py,
 * load_v1): DNS, ICMP, the rules, which are exceptions from the policy, and the policy last. Throws
 * DamagedError.
 */
export function parseR3Firewall(untrustedText: string): FirewallRule[] {
  const root = parseStrictXml(untrustedText, 'a firewall.xml in the backup');
  if (root.tagName !== 'QubesFirewallRules') throw damaged('is not a list of firewall rules');
  const policy = actionOf(root, 'policy', undefined);
  const untrustedRules = Array.from(root.childNodes).filter((node) => node instanceof Element);
  if (untrustedRules.length > MOST_RULES) throw damaged('has too many rules');
  const exception = policy === 'accept' ? 'drop' : 'accept';
  return [
    new Map([
      ['action', actionOf(root, 'dns', policy)],
      ['specialtarget', 'dns'],
    ]),
    new Map([
      ['action', actionOf(root, 'icmp', policy)],
      ['proto', 'icmp'],
    ]),
    ...untrustedRules.flatMap((untrustedRule) => translateRule(untrustedRule, exception)),
    new Map([['action', policy]]),
  ];
}

function actionOf(root: Element, attribute: string, otherwise: string | undefined): string {
  const untrustedValue = root.getAttribute(attribute);
  if (untrustedValue === null && otherwise !== undefined) return otherwise;
  if (untrustedValue === 'allow') return 'accept';
  if (untrustedValue === 'deny') return 'drop';
  throw damaged(`does not say what its ${attribute} is`);
}

function translateRule(untrustedRule: Element, action: string): FirewallRule[] {
  if (untrustedRule.tagName !== 'rule') throw damaged('contains something other than rules');
  const attribute = (name: string): string => untrustedRule.getAttribute(name) ?? '';
  const ports = portsOf(attribute('port'), attribute('toport'));
  return protocolsOf(attribute('proto'), ports !== undefined).map((protocol) => {
    const rule = new Map([['action', action]]);
    const [kind, host] = hostOf(attribute('address'), attribute('netmask'));
    if (kind !== undefined) rule.set(kind, host);
    if (protocol !== undefined) rule.set('proto', protocol);
    if (ports !== undefined) rule.set('dstports', ports);
    const expire = attribute('expire');
    if (expire !== '') rule.set('expire', String(numberIn(expire, 2 ** 32)));
    return rule;
  });
}

/** R4 requires a protocol for ports; in R3 `any` meant both protocols with ports. */
function protocolsOf(untrustedProtocol: string, hasPorts: boolean): (string | undefined)[] {
  switch (untrustedProtocol) {
    case '':
      return [hasPorts ? 'tcp' : undefined];
    case 'any':
      return hasPorts ? ['tcp', 'udp'] : [undefined];
    case 'tcp':
    case 'udp':
    case 'icmp':
      return [untrustedProtocol];
    default:
      throw damaged(`has a rule for the protocol ${printable(untrustedProtocol, 20)}`);
  }
}

function portsOf(untrustedFrom: string, untrustedTo: string): string | undefined {
  if (untrustedFrom === '') return undefined;
  const from = numberIn(untrustedFrom, 65535);
  // Without a range, or in old files with the range 0.
  const to = numberIn(untrustedTo, 65535, from) || from;
  if (from > to) throw damaged('has a rule for an empty range of ports');
  return `${from}-${to}`;
}

/** A rule's destination; nothing for an empty prefix, which means every host. */
function hostOf(untrustedAddress: string, untrustedMask: string): [string | undefined, string] {
  if (untrustedAddress === '') return [undefined, ''];
  if (isIPv4(untrustedAddress)) {
    const prefix = numberIn(untrustedMask, 32, 32);
    return prefix === 0 ? [undefined, ''] : ['dst4', `${untrustedAddress}/${prefix}`];
  }
  if (isIPv6(untrustedAddress) && !untrustedAddress.includes('%')) {
    const prefix = numberIn(untrustedMask, 128, 128);
    return prefix === 0 ? [undefined, ''] : ['dst6', `${untrustedAddress}/${prefix}`];
  }
  const untrustedName = untrustedAddress.toLowerCase();
  if (!/^[a-z0-9._-]{1,253}$/.test(untrustedName)) {
    throw damaged(`has a rule for the host ${printable(untrustedAddress, 60)}`);
  }
  return ['dsthost', untrustedName];
}

function numberIn(untrustedText: string, greatest: number, otherwise?: number): number {
  if (untrustedText === '' && otherwise !== undefined) return otherwise;
  const number = /^[0-9]{1,10}$/.test(untrustedText) ? Number(untrustedText) : NaN;
  if (number <= greatest) return number;
  throw damaged(`has a rule with the number ${printable(untrustedText, 20)}`);
}

function damaged(what: string): DamagedError {
  return new DamagedError(`a firewall.xml in the backup ${what}`);
}
