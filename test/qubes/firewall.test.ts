import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { DamagedError } from '../../shared/errors.ts';
import {
  BadRuleError,
  formatFirewallLines,
  parseFirewallLines,
} from '../../dom0-agent/qubes/firewall.ts';
import { formatFirewallXml, parseFirewallXml } from '../../dom0-agent/qubes/xml/firewall-xml.ts';
import type { FirewallRule } from '../../dom0-agent/qubes/qube.ts';

const RECORDED = join(import.meta.dirname, '../fixtures/qubesd');
const recordedXml = await readFile(join(RECORDED, 'firewall-r4.xml'), 'utf8');
/** What qubesd answered for `recordedXml`. */
const factsLines =
  'action=accept dst4=192.0.2.0/24 proto=tcp dstports=443-443 comment=office\n' +
  'action=accept specialtarget=dns\n' +
  'action=drop\n';

const destination = fc.oneof(
  fc.tuple(fc.constant('dst4'), fc.ipV4(), fc.nat(32)).map(([k, host, n]) => [k, `${host}/${n}`]),
  fc.tuple(fc.constant('dst6'), fc.ipV6(), fc.nat(128)).map(([k, host, n]) => [k, `${host}/${n}`]),
  fc.stringMatching(/^[a-z][a-z0-9-]{0,8}\.[a-z]{2,5}$/).map((name) => ['dsthost', name]),
  fc.constant(['specialtarget', 'dns']),
);
const ports = fc.tuple(fc.nat(65535), fc.nat(65535)).map(([a, b]) => {
  return ['dstports', `${Math.min(a, b)}-${Math.max(a, b)}`];
});
const protocol = fc.oneof(
  fc.tuple(fc.constantFrom('tcp', 'udp'), ports).map(([proto, p]) => [['proto', proto], p]),
  fc.nat(255).map((type) => [
    ['proto', 'icmp'],
    ['icmptype', `${type}`],
  ]),
  fc.constant([]),
);
const comment = fc.stringMatching(/^[A-Za-z0-9:;,./\-_[\]][A-Za-z0-9:;,./\-_[\] ]{0,20}$/);
const maybe = <T>(any: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc.option(any).map((value) => (value === null ? [] : [value]));
const rule: fc.Arbitrary<FirewallRule> = fc
  .tuple(
    fc.constantFrom('accept', 'drop').map((action) => ['action', action]),
    maybe(fc.nat(2 ** 31).map((time) => ['expire', `${time}`])),
    maybe(destination),
    protocol,
    maybe(comment.map((words) => ['comment', words])),
  )
  .map(
    ([action, expire, target, proto, words]) =>
      new Map(
        [action, ...expire, ...target, ...proto, ...words].map(([key = '', value = '']) => [
          key,
          value,
        ]),
      ),
  );

describe('firewall rules', () => {
  it('of a real firewall.xml are formatted as qubesd gave them', () => {
    expect(formatFirewallLines(parseFirewallXml(recordedXml))).toBe(factsLines);
  });

  it('of qubesd are formatted as the firewall.xml that it keeps', () => {
    expect(formatFirewallXml(parseFirewallLines(factsLines))).toBe(recordedXml);
  });

  it('are read as they were written, as lines and as XML', () => {
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 8 }), (rules) => {
        expect(parseFirewallLines(formatFirewallLines(rules))).toEqual(rules);
        expect(parseFirewallXml(formatFirewallXml(rules))).toEqual(rules);
      }),
    );
  });

  it('are normalised as qubesd does', () => {
    const lines =
      'proto=tcp dsthost=192.0.2.7 dstports=80 action=accept comment=a  b\n' +
      'action=drop dstname=2001:db8::1\naction=drop dst6=10.0.0.0/8\n';
    expect(formatFirewallLines(parseFirewallLines(lines))).toBe(
      'action=accept dst4=192.0.2.7/32 proto=tcp dstports=80-80 comment=a  b\n' +
        'action=drop dst6=2001:db8::1/128\naction=drop dst4=10.0.0.0/8\n',
    );
  });

  it.each([
    'action=explode',
    'proto=tcp',
    'action=accept action=drop',
    'action=accept dst4=1.2.3.4/33',
    'action=accept dst4=1.2.3/24',
    'action=accept dst6=fe80::1%eth0',
    'action=accept dsthost=Example.org',
    'action=accept dsthost=example.org/24',
    'action=accept dst4=1.2.3.4 dst6=::1',
    'action=accept dstports=80',
    'action=accept proto=icmp dstports=80',
    'action=accept proto=tcp icmptype=8',
    'action=accept proto=tcp dstports=90-80',
    'action=accept proto=tcp dstports=65536',
    'action=accept proto=icmp icmptype=256',
    'action=accept specialtarget=all',
    'action=accept expire=soon',
    'action=accept comment=$(reboot)',
    'action=accept newoption=1',
    'accept',
  ])('are refused: %s', (line) => {
    expect(() => parseFirewallLines(`${line}\n`)).toThrow(BadRuleError);
    const options = line.split(' ').map((word) => {
      const [key = '', ...value] = word.split('=');
      return `<property name="${key}">${value.join('=')}</property>`;
    });
    const xml = `<firewall version="2"><rules><rule><properties>${options.join('')}</properties></rule></rules></firewall>`;
    expect(() => parseFirewallXml(xml)).toThrow(DamagedError);
  });

  it.each([
    ['of R3', '<QubesFirewallRules policy="allow"/>'],
    ['of a later version', recordedXml.replace('"2"', '"3"')],
    ['with an entity', `<!DOCTYPE a [<!ENTITY b "c">]>${recordedXml}`],
    ['cut short', recordedXml.slice(0, -12)],
  ])('in a firewall.xml %s are refused', (_, text) => {
    expect(() => parseFirewallXml(text)).toThrow(DamagedError);
  });
});
