import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatTable } from '../../dom0-agent/cli/table.ts';
import { printable, printableJson, printableLines } from '../../shared/printable.ts';
import { makeArchive } from '../archive/coffer1/sample.ts';
import { makeQubes3 } from '../archive/qubes3/make-qubes3.ts';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { Dom0 } from '../qubesd/dom0.ts';
import { lastEvent } from '../cli/events.ts';

const COFFER = new URL('../../dist/coffer', import.meta.url).pathname;

/** Characters of each kind: C0, DEL, C1 CSI and OSC, marks, embeddings, isolates, separators, and without a width. */
const HOSTILE =
  '\u0007\u001b[2J\r\u007f\u009b2J\u009d0;owned\u009c\u061c\u200e\u200f\u202egnp.exe\u2066\u2069' +
  '\u2028\u2029\u200b\u200d\ufeff\u00ad\u2060\u3164\u115f\ufe0f\u{e0041}\ue000\ufff9';
const UNSEEN =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u115f\u200b-\u200f\u2028-\u202e\u2060-\u2069\u3164\ufe0f\ufeff\ufff9]|[\ud800-\udfff]|\u{e0041}/u;

describe('shown text', () => {
  it('contains no invisible characters', () => {
    expect(printable(HOSTILE)).not.toMatch(UNSEEN);
    expect(printableLines(`${HOSTILE}\n${HOSTILE}`)).not.toMatch(UNSEEN);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(printable(text)).not.toMatch(UNSEEN);
        expect(printable(text)).not.toContain('\n');
        expect(printableLines(text)).not.toMatch(UNSEEN);
        expect(printableLines(text).split('\n').length).toBe(text.split('\n').length);
      }),
    );
  });

  it('is unchanged if it is printable', () => {
    const text = 'zażółć, 漢字, عربي, 💾 — "quoted" \\ $HOME e\u0301';
    expect(printable(text)).toBe(text);
  });

  it('in JSON contains escapes in place of invisible characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const json = printableJson({ text, hostile: HOSTILE });
        expect(json).not.toMatch(UNSEEN);
        expect(JSON.parse(json)).toEqual({ text, hostile: HOSTILE });
      }),
    );
  });

  it('is aligned in columns by the width of its characters', () => {
    const table = formatTable(
      ['name', 'x'],
      [
        ['漢字', '1'],
        ['e\u0301tude', '2'],
        ['a\nb\u202e', '3'],
      ],
    );
    expect(table.split('\n')).toEqual(['name   x', '漢字   1', 'e\u0301tude  2', 'a?b?   3']);
  });
});

/** A list of VMs with these settings and features. */
function hostileXml(settings: string, features = ''): Buffer {
  return Buffer.from(
    '<qubes><labels><label id="label-1" color="0xcc0000">red</label></labels><domains>' +
      '<domain id="domain-0" class="AdminVM"><properties><property name="label">red</property></properties>' +
      '<features><feature name="backup-created">2026-11-25T10:00:00Z</feature></features></domain>' +
      '<domain id="domain-5" class="AppVM"><properties><property name="label">red</property>' +
      `<property name="name">mail</property><property name="qid">5</property>${settings}</properties>` +
      '<features><feature name="backup-content">True</feature><feature name="backup-path">vm5/</feature>' +
      `<feature name="backup-size">1000</feature>${features}</features><tags/><volume-config>` +
      '<volume name="private" pool="varlibqubes" vid="x" size="10485760" save_on_stop="True"/>' +
      '</volume-config></domain></domains></qubes>',
  );
}

/** Every hostile character that XML allows, as a reference to it. */
const asXml = Array.from(HOSTILE)
  .filter((character) => !/[\u0007\u001b]/.test(character))
  .map((character) => `&#${character.codePointAt(0) ?? 0};`)
  .join('');
const template = '<property name="template">debian</property>';
const VOLUME = 'vm5/private.img';
const archiveWith = (xml: Buffer): Promise<Buffer> =>
  makeArchive({ 'qubes.xml': xml, [VOLUME]: Buffer.alloc(512) });

/** A list of R3, with hostile text in attributes, some of which are Python literals. */
const R3_XML = `<QubesVmCollection><QubesTemplateVm qid="9" name="deb${asXml}" label="red"/>
  <QubesNetVm qid="2" name="net${asXml}" template_qid="9" label="${asXml}" pcidevs="['${asXml}']"/>
  <QubesAppVm qid="5" name="mail" label="${asXml}" template_qid="9" netvm_qid="2" kernelopts="${asXml}"
    uses_default_netvm="False" uses_default_kernelopts="False" services="{'x${asXml}': True}"
    backup_content="True" backup_path="vm5"/></QubesVmCollection>`;
const inFormat3 = (): Buffer =>
  makeQubes3({
    ...{ version: 3, passphrase: PASSPHRASE },
    files: { 'qubes.xml': R3_XML, [VOLUME]: 'x' },
  });

const BACKUPS: Readonly<Record<string, () => Promise<Buffer> | Buffer>> = {
  'a missing template': () =>
    archiveWith(hostileXml(`<property name="template">deb${asXml}</property>`)),
  'a missing net VM': () =>
    archiveWith(hostileXml(`${template}<property name="netvm">${asXml}</property>`)),
  'an unknown property': () =>
    archiveWith(hostileXml(`${template}<property name="x${asXml}">1</property>`)),
  'a refused value': () =>
    archiveWith(hostileXml(`${template}<property name="kernelopts">${asXml}</property>`)),
  'a feature': () =>
    archiveWith(hostileXml(template, `<feature name="f${asXml}">${asXml}</feature>`)),
  'all settings of R3': inFormat3,
};

describe.each(Object.entries(BACKUPS))('an authentic backup with %s of hostile text', (_, make) => {
  it.each([
    ['list'],
    ['verify'],
    ['restore', '-y'],
    ['restore', '-y', '--ignore-missing', '--rename-conflicting'],
    ['restore', '-y', '--distrust-settings', '--rename-conflicting'],
  ])('is shown without it by %s %s %s %s', async (...words) => {
    const box = await Box.empty();
    const file = join(box.directory, 'homes/usb/hostile');
    writeFileSync(file, await make());
    for (const json of [[], ['--json']]) {
      const [command = '', ...rest] = words;
      const options = ['--system', box.directory, ...box.secret, ...json];
      const args = ['--wait', COFFER, command, ...options, ...rest, file];
      const run = spawnSync('setsid', args, { encoding: 'utf8' });
      expect(run.stdout + run.stderr).not.toMatch(UNSEEN);
      expect(run.stdout + run.stderr).not.toBe('');
      if (json.length > 0) expect(lastEvent(run.stdout)).toHaveProperty('exitStatus', run.status);
    }
  });
});

it('coffer devices makes the names of file systems printable', async () => {
  await using dom0 = await Dom0.make();
  const disk = {
    path: '/dev/sdb1',
    mountpoints: [`/run/media/user/${HOSTILE}`],
    label: `stick${HOSTILE}`,
    size: 1000,
    fsavail: 900,
    rm: true,
    hotplug: true,
  };
  const listing = join(dom0.scene.directory, 'lsblk.json');
  writeFileSync(listing, JSON.stringify({ blockdevices: [disk] }));
  const lsblk = join(dom0.scene.directory, 'lsblk');
  writeFileSync(lsblk, `#!/bin/sh\ncat '${listing}'\n`);
  chmodSync(lsblk, 0o755);
  for (const json of [[], ['--json']]) {
    const child = await dom0.coffer(['devices', ...json]);
    expect(child).toMatchObject({ status: 0 });
    expect(child.stdout).toContain('stick');
    expect(child.stdout).not.toMatch(UNSEEN);
  }
});
