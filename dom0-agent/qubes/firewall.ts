import { isIPv4, isIPv6 } from 'node:net';

import { FailedError } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import type { FirewallRule } from './qube.ts';

/**
 * The firewall rules of R4 in the form of the Admin API, a line per rule:
 * `action=accept dst4=192.0.2.0/24 proto=tcp dstports=443-443 comment=office`. What is allowed, and how
 * qubesd writes it, is in qubes/firewall.py of qubes-core-admin. coffer keeps rules in qubesd's normal
 * form: options in its order, addresses with a prefix, ports as a range.
 */
const ORDER = [
  'action',
  'expire',
  'dst4',
  'dst6',
  'dsthost',
  'proto',
  'specialtarget',
  'dstports',
  'icmptype',
  'comment',
] as const;
type Option = (typeof ORDER)[number];

/** Far more rules than Qubes has room for. */
const MOST_RULES = 10_000;

/** Thrown by `firewallRule`: the end of a sentence that begins with the source of the rule. */
export class BadRuleError extends FailedError {}

/**
 * The reply of `admin.vm.firewall.Get`. Throws BadRuleError for a rule that qubesd would not accept.
 */
export function parseFirewallLines(text: string): FirewallRule[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return firewallRules(lines.map(optionsOfLine));
}

/** The payload of `admin.vm.firewall.Set`. */
export function formatFirewallLines(rules: readonly FirewallRule[]): string {
  return rules.map((rule) => `${optionsInOrder(rule).join(' ')}\n`).join('');
}

/**
 * Makes rules from their options, in normal form. `dsthost` may be a name or an address, as in
 * firewall.xml. Throws BadRuleError for what qubesd would not accept.
 */
export function firewallRules(
  untrustedRules: readonly (readonly (readonly [string, string])[])[],
): FirewallRule[] {
  if (untrustedRules.length > MOST_RULES) {
    throw new BadRuleError(`the firewall has more than ${MOST_RULES} rules`);
  }
  return untrustedRules.map(firewallRule);
}

function optionsOfLine(line: string): [string, string][] {
  // The comment comes last and may contain spaces.
  const [, before = line, comment] = /^(.*?)(?:^| )comment=(.*)$/.exec(line) ?? [];
  const options = before.split(' ').filter((word) => word !== '');
  return [
    ...options.map((word): [string, string] => {
      const at = word.indexOf('=');
      if (at < 0) throw badRule(word);
      return [word.slice(0, at), word.slice(at + 1)];
    }),
    ...(comment === undefined ? [] : [['comment', comment] satisfies [string, string]]),
  ];
}

function optionsInOrder(rule: FirewallRule): string[] {
  return ORDER.filter((option) => rule.has(option)).map(
    (option) => `${option}=${rule.get(option) ?? ''}`,
  );
}

function firewallRule(untrustedOptions: readonly (readonly [string, string])[]): FirewallRule {
  const options = new Map<Option, string>();
  for (const [untrustedKey, untrustedValue] of untrustedOptions) {
    const normal = normalOption(untrustedKey, untrustedValue);
    if (normal === undefined) throw badRule(`${untrustedKey}=${untrustedValue}`);
    const [key, value] = normal;
    if (options.has(key)) throw badRule(`${key}, given twice`);
    options.set(key, value);
  }
  refuseContradictions(options);
  return new Map(ORDER.flatMap((key) => pair(key, options.get(key))));
}

function pair(key: Option, value: string | undefined): [Option, string][] {
  return value === undefined ? [] : [[key, value]];
}

function refuseContradictions(options: ReadonlyMap<Option, string>): void {
  const proto = options.get('proto');
  const targets = (['dst4', 'dst6', 'dsthost'] as const).filter((key) => options.has(key));
  if (!options.has('action')) throw badRule('no action');
  if (targets.length > 1) throw badRule('two destinations');
  if (options.has('dstports') && proto !== 'tcp' && proto !== 'udp') {
    throw badRule('ports without the protocol tcp or udp');
  }
  if (options.has('icmptype') && proto !== 'icmp') {
    throw badRule('an ICMP type without the protocol icmp');
  }
}

/** An option in qubesd's normal form; undefined if qubesd would refuse it. */
function normalOption(key: string, untrusted: string): [Option, string] | undefined {
  const checked = (option: Option, holds: boolean): [Option, string] | undefined =>
    holds ? [option, untrusted] : undefined;
  switch (key) {
    case 'action':
      return checked('action', untrusted === 'accept' || untrusted === 'drop');
    case 'proto':
      return checked('proto', ['tcp', 'udp', 'icmp'].includes(untrusted));
    case 'specialtarget':
      return checked('specialtarget', untrusted === 'dns');
    case 'expire':
      return checked('expire', /^\d{1,12}$/.test(untrusted));
    case 'comment':
      return checked('comment', /^[A-Za-z0-9:;,./\-_[\] ]{1,4096}$/.test(untrusted));
    case 'icmptype':
      return /^\d{1,3}$/.test(untrusted) && Number(untrusted) <= 255
        ? ['icmptype', `${Number(untrusted)}`]
        : undefined;
    case 'dstports':
      return normalPorts(untrusted);
    case 'dst4':
    case 'dst6':
    case 'dstname':
    case 'dsthost':
      return normalDestination(untrusted);
    default:
      return undefined;
  }
}

function normalPorts(untrusted: string): ['dstports', string] | undefined {
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(untrusted) ?? [];
  const [from, to] = [Number(first), Number(last)];
  return first !== undefined && from <= to && to <= 65535
    ? ['dstports', `${from}-${to}`]
    : undefined;
}

/** Whatever the key says, qubesd goes by the value. */
function normalDestination(untrusted: string): ['dst4' | 'dst6' | 'dsthost', string] | undefined {
  const [, host = '', prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(untrusted) ?? [];
  for (const [key, isAddress, longest] of [
    ['dst6', isIPv6, 128],
    ['dst4', isIPv4, 32],
  ] as const) {
    if (!isAddress(host) || host.includes('%')) continue;
    const length = Number(prefix ?? longest);
    return length <= longest ? [key, `${host}/${length}`] : undefined;
  }
  return prefix === undefined && /^[a-z0-9._-]{1,253}$/.test(host) ? ['dsthost', host] : undefined;
}

function badRule(untrustedPiece: string): BadRuleError {
  return new BadRuleError(
    `the firewall has a rule that Qubes would not accept: ${printable(untrustedPiece, 80)}`,
  );
}

/** A VM without a firewall has one rule that accepts everything. */
export const NO_FIREWALL = 'action=accept\n';
