import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { DamagedError, FailedError } from '../../../shared/errors.ts';
import { formatQubesXml } from '../../../dom0-agent/qubes/xml/format-qubes-xml.ts';
import { parseQubesXml } from '../../../dom0-agent/qubes/xml/parse-qubes-xml.ts';
import { arbitraryStore, dom0 } from './arbitrary-qube.ts';

const RECORDED = join(import.meta.dirname, '../../fixtures/qubesd');

const DOM0 = `<domain id="domain-0" class="AdminVM">
  <properties><property name="label">black</property></properties></domain>`;

const domain = (name: string, qid: number, more = '', className = 'AppVM'): string =>
  `<domain id="domain-${qid}" class="${className}"><properties>
    <property name="label">red</property><property name="name">${name}</property>
    <property name="qid">${qid}</property></properties>${more}</domain>`;

const store = (domains: string): string =>
  `<qubes><labels><label id="label-1" color="0xcc0000">red</label>
  <label id="label-8" color="0x000000">black</label></labels>
  <pools/><properties/><domains>${DOM0}${domains}</domains></qubes>`;

const messageOfParsing = (text: string): string => {
  try {
    parseQubesXml(text);
  } catch (error) {
    expect(error).toBeInstanceOf(DamagedError);
    return error instanceof Error ? error.message : '';
  }
  return expect.fail('it was parsed');
};

describe('the qubes.xml of a real system', () => {
  it('is read completely', async () => {
    const { qubes, labels, pools, properties } = parseQubesXml(
      await readFile(join(RECORDED, 'qubes-r4.xml'), 'utf8'),
    );
    expect(qubes.map(({ name }) => name)).toEqual([
      'dom0',
      'default-dvm',
      'dev-box',
      'fedora-42-xfce',
      'sys-firewall',
      'sys-net',
      'work',
    ]);
    expect(labels).toHaveLength(8);
    expect(pools.get('varlibqubes')?.get('driver')).toBe('file-reflink');
    expect(properties.get('default_netvm')).toBe('sys-firewall');
    const work = qubes.at(-1);
    expect(work).toMatchObject({ qubeClass: 'AppVM', qid: 5, label: 'blue' });
    expect(work?.properties).toEqual(
      new Map([
        ['maxmem', '3000'],
        ['memory', '600'],
        ['default_dispvm', 'default-dvm'],
        ['template', 'fedora-42-xfce'],
      ]),
    );
    expect(work?.features.get('empty-feature')).toBe('');
    expect(work?.tags).toEqual(new Set(['audiovm-dom0', 'guivm-dom0', 'project-x']));
    expect(work?.volumes.filter(({ saveOnStop }) => saveOnStop)).toMatchObject([
      { name: 'private', size: 2147483648, pool: 'varlibqubes', vid: 'appvms/work/private' },
    ]);
    expect(qubes[5]?.properties.get('netvm')).toBe('');
  });

  it('is read as it was written', async () => {
    const read = parseQubesXml(await readFile(join(RECORDED, 'qubes-r4.xml'), 'utf8'));
    expect(parseQubesXml(formatQubesXml(read))).toEqual(read);
  });
});

describe('any qubes.xml', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(arbitraryStore, (any) => {
        expect(parseQubesXml(formatQubesXml(any))).toEqual(any);
      }),
      { numRuns: 200 },
    );
  });

  it('is not written with a character that XML does not allow', () => {
    const bad = { ...dom0, features: new Map([['bell', '\u0007']]) };
    const text = (): string =>
      formatQubesXml({
        labels: [],
        pools: new Map(),
        properties: new Map(),
        qubes: [bad],
        unknownDomains: [],
      });
    expect(text).toThrow(FailedError);
  });

  it('may have devices in the forms of R4.2 and R4.3', () => {
    const devices = `<devices class="pci">
      <device backend-domain="dom0" id="00_14.0"/>
      <device backend-domain="dom0" id="00_15.0" required="no">
        <option name="no-strict-reset">True</option></device>
      <device backend-domain="dom0" id="00_16.0" mode="required" identity="8086:a0ef"/></devices>
      <devices class="block">
      <device backend-domain="sys-usb" id="sda" mode="ask-to-attach" identity="*"/></devices>`;
    const fields = parseQubesXml(store(domain('work', 1, devices))).qubes[1]?.devices.map((d) => [
      d.deviceClass,
      d.backend,
      d.port,
      Object.fromEntries(d.fields),
    ]);
    expect(fields).toEqual([
      ['pci', 'dom0', '00_14.0', { mode: 'required' }],
      ['pci', 'dom0', '00_15.0', { mode: 'auto-attach', '_no-strict-reset': 'True' }],
      ['pci', 'dom0', '00_16.0', { mode: 'required', device_id: '8086:a0ef' }],
      ['block', 'sys-usb', 'sda', { mode: 'ask-to-attach', device_id: '*' }],
    ]);
  });

  it('is read without unknown elements, and with VMs of unknown classes apart', () => {
    const text = store(`<!-- new --><news/>${domain('far', 7, '', 'RemoteVM')}`);
    const { qubes, unknownDomains } = parseQubesXml(
      `<?xml version='1.0' encoding='utf-8'?>\n${text}`,
    );
    expect(qubes).toHaveLength(1);
    expect(unknownDomains).toMatchObject([{ name: 'far', className: 'RemoteVM' }]);
  });
});

describe('a hostile qubes.xml', () => {
  it.each([
    ['an entity', `<!DOCTYPE q [<!ENTITY a "b">]>${store('')}`, /document type, an entity/],
    ['an external entity', `<!DOCTYPE q SYSTEM "file:///etc/passwd">${store('')}`, /entity/],
    ['a reference to an entity', store(domain('work', 1, '&lol;')), /refers to something/],
    ['a bare ampersand', store('a & b'), /refers to something/],
    ['a control character', store('\u0000'), /characters that XML forbids/],
    ['a reference to a control character', store('&#0;'), /refers to something/],
    ['a reference beyond Unicode', store('&#x110000;'), /refers to something/],
    ['a namespace', store('<a xmlns="b"/>'), /well-formed/],
    ['an instruction', store('<?php ?>'), /well-formed/],
    ['a CDATA section', store('<![CDATA[a]]>'), /entity/],
    ['a missing end', store('').slice(0, -3), /well-formed/],
    ['crossed tags', store('<a><b></a></b>'), /well-formed/],
    ['two roots', store('') + store(''), /well-formed/],
    ['text that is not XML', 'hello', /well-formed/],
    ['no text', '', /well-formed/],
    ['another root', '<firewall/>', /begin with <qubes>/],
    ['deep nesting', store('<a>'.repeat(100_000)), /nested deeper/],
    ['too many tags', store('<a/>'.repeat(1_000_000)), /too large/],
    ['too many comments', store('<!---->'.repeat(1_100_000)), /too large/],
    ['too many texts', store('a<!---->'.repeat(600_000)), /too large/],
    ['too many attributes', store(`<a ${'b="" '.repeat(1_000)}/>`.repeat(1_100)), /too large/],
    ['one long tag', store(`<a ${'b="c" '.repeat(100_000)}/>`), /well-formed/],
    ['more than 16 MiB', store(' '.repeat(17 * 1024 * 1024)), /16 MiB/],
    ['the name of a VM twice', store(domain('work', 1) + domain('work', 2)), /work twice/],
    ['a qid twice', store(domain('work', 1) + domain('home', 1)), /number 1 twice/],
    ['a path as a name', store(domain('../../etc', 1)), /Qubes forbids/],
    ['a forbidden name', store(domain('none', 1)), /Qubes forbids/],
    ['an escape sequence in a name', store(domain('a&#x9b;31m', 1)), /"a\?31m"/],
    ['no name', store(domain('', 1)), /Qubes forbids/],
    ['a second dom0', store(domain('dom0', 1)), /has a VM called dom0/],
    ['two AdminVMs', store(DOM0), /dom0 twice/],
    ['the qid of dom0', store(domain('work', 0)), /cannot have/],
    ['a qid that is too large', store(domain('work', 65_536)), /cannot have/],
    ['an unknown label', store(domain('work', 1)).replace('>red<', '>mauve<'), /does not define/],
    [
      'a volume with a path as its name',
      store(domain('work', 1, '<volume-config><volume name="../a"/></volume-config>')),
      /volume whose name/,
    ],
    [
      'a negative size',
      store(domain('work', 1, '<volume-config><volume name="root" size="-1"/></volume-config>')),
      /name or size/,
    ],
    [
      'a feature that is not a text',
      store(domain('work', 1, '<features><feature name="a"><b/></feature></features>')),
      /more than text/,
    ],
    [
      'a feature twice',
      store(domain('work', 1, '<features><feature name="a"/><feature name="a"/></features>')),
      /a twice/,
    ],
  ])('with %s is refused', (_, text, message) => {
    expect(messageOfParsing(text)).toMatch(message);
  });

  it('is refused if it is truncated anywhere', async () => {
    const whole = (await readFile(join(RECORDED, 'qubes-r4.xml'), 'utf8')).trimEnd();
    for (let length = 0; length < whole.length; length += 97) {
      expect(messageOfParsing(whole.slice(0, length))).toMatch(/^qubes\.xml /);
    }
  });

  it('of any text is read or refused with a DamagedError', () => {
    const pieces = fc.constantFrom(
      ...['<', '>', '/>', '</', '"', "'", '=', ' ', '&', ';', '&#', 'x', '<!--', '-->', '<?', '<!'],
      ...['<qubes>', '</qubes>', '<domains>', '</domains>', '<domain class="AppVM">', '</domain>'],
      ...['<properties>', '<property name="name">', '</property>', '\u0000', '\ud800', 'é'],
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
        try {
          parseQubesXml(parts.join(''));
        } catch (error) {
          expect(error).toBeInstanceOf(DamagedError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a qubes.xml', () => {
  it('with ten thousand VMs is read within 20 s', () => {
    const many = Array.from({ length: 10_000 }, (_, i) =>
      domain(`vm-${i}`, i + 1, '<features><feature name="a">b</feature></features><tags/>'),
    );
    const begun = performance.now();
    expect(parseQubesXml(store(many.join(''))).qubes).toHaveLength(10_001);
    expect(performance.now() - begun).toBeLessThan(20_000);
  });

  it('with more than twenty thousand VMs is refused', () => {
    const many = Array.from({ length: 20_001 }, () => '<domain class="AppVM"/>');
    expect(messageOfParsing(store(many.join('')))).toMatch(/more than 20000 VMs/);
  });
});
