import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isR3Firewall, parseR3Firewall } from '../../../dom0-agent/qubes/xml/r3-firewall.ts';
import { menuItemsOf } from '../../../dom0-agent/qubes/xml/r3-qube.ts';
import { DamagedError } from '../../../shared/errors.ts';

function firewall(attributes: string, ...rules: string[]): string {
  return `<QubesFirewallRules ${attributes}>${rules.join('')}</QubesFirewallRules>`;
}

/** The rules as lines of the Admin API. */
function lines(text: string): string[] {
  return parseR3Firewall(text).map((rule) =>
    [...rule].map(([key, value]) => `${key}=${value}`).join(' '),
  );
}

describe('the firewall of R3', () => {
  test('can deny by default', () => {
    const text = firewall(
      'policy="deny" dns="allow" icmp="allow" yumProxy="allow"',
      '<rule address="192.0.2.0" netmask="24" proto="tcp" port="443"/>',
      '<rule address="198.51.100.7" proto="tcp" port="8000" toport="8080"/>',
      '<rule address="0.0.0.0" proto="tcp" netmask="0" port="22"/>',
      '<rule address="FedoraHosted.org" netmask="32" proto="any"/>',
    );
    expect(isR3Firewall(text)).toBe(true);
    expect(lines(text)).toEqual([
      'action=accept specialtarget=dns',
      'action=accept proto=icmp',
      'action=accept dst4=192.0.2.0/24 proto=tcp dstports=443-443',
      'action=accept dst4=198.51.100.7/32 proto=tcp dstports=8000-8080',
      'action=accept proto=tcp dstports=22-22',
      'action=accept dsthost=fedorahosted.org',
      'action=drop',
    ]);
  });

  test('can allow by default', () => {
    const text = firewall(
      'policy="allow" icmp="deny"',
      '<rule address="10.0.0.1" expire="1700000000"/>',
    );
    expect(lines(text)).toEqual([
      'action=accept specialtarget=dns',
      'action=drop proto=icmp',
      'action=drop dst4=10.0.0.1/32 expire=1700000000',
      'action=accept',
    ]);
  });

  test('applies a port without a protocol to TCP, and with any protocol to TCP and UDP', () => {
    expect(lines(firewall('policy="deny"', '<rule port="53"/>'))).toContain(
      'action=accept proto=tcp dstports=53-53',
    );
    expect(lines(firewall('policy="deny"', '<rule proto="any" port="53"/>'))).toEqual(
      expect.arrayContaining([
        'action=accept proto=tcp dstports=53-53',
        'action=accept proto=udp dstports=53-53',
      ]),
    );
  });

  test.each([
    ['no policy', firewall('dns="allow"')],
    ['an invalid policy', firewall('policy="maybe"')],
    ['an invalid host', firewall('policy="deny"', '<rule address="a b"/>')],
    ['a port that is too high', firewall('policy="deny"', '<rule port="65536"/>')],
    ['an empty range of ports', firewall('policy="deny"', '<rule port="9" toport="8"/>')],
    [
      'a mask that is too long',
      firewall('policy="deny"', '<rule address="10.0.0.1" netmask="33"/>'),
    ],
    ['an unknown protocol', firewall('policy="deny"', '<rule proto="sctp"/>')],
    ['an unknown element', firewall('policy="deny"', '<deny/>')],
    ['an entity', `<!DOCTYPE a [<!ENTITY e "x">]>${firewall('policy="deny"')}`],
  ])('with %s is refused', (_, text) => {
    expect(() => parseR3Firewall(text)).toThrow(DamagedError);
  });

  test('ends with the policy, for any rules', () => {
    const rule = fc.record({
      address: fc.oneof(fc.ipV4(), fc.domain()),
      port: fc.integer({ min: 1, max: 65535 }),
      proto: fc.constantFrom('tcp', 'udp', 'any', 'icmp'),
    });
    fc.assert(
      fc.property(fc.array(rule), fc.constantFrom('allow', 'deny'), (rules, policy) => {
        const elements = rules.map(
          ({ address, port, proto }) =>
            `<rule address="${address}" port="${port}" proto="${proto}"/>`,
        );
        const parsed = parseR3Firewall(firewall(`policy="${policy}"`, ...elements));
        const action = policy === 'allow' ? 'accept' : 'drop';
        expect(Object.fromEntries(parsed.at(-1) ?? [])).toEqual({ action });
        expect(parsed.slice(2, -1).every((each) => each.get('action') !== action)).toBe(true);
      }),
    );
  });
});

test('a list of menu entries is converted to a line of the valid ones', () => {
  expect(menuItemsOf('gnome-terminal.desktop\nfirefox.desktop\n\n')).toBe(
    'gnome-terminal.desktop firefox.desktop',
  );
  expect(menuItemsOf('a b.desktop\n../x.desktop\n\x1b[0m.desktop\r\nok.desktop')).toBe(
    'ok.desktop',
  );
});
