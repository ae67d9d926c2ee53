import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { DamagedError } from '../../../shared/errors.ts';
import {
  backupQubesXml,
  readBackupQubesXml,
} from '../../../dom0-agent/qubes/xml/backup-qubes-xml.ts';
import { parseQubesXml } from '../../../dom0-agent/qubes/xml/parse-qubes-xml.ts';
import type { StoredQube } from '../../../dom0-agent/qubes/xml/qubes-store.ts';

const RECORDED = join(import.meta.dirname, '../../fixtures/qubesd');
const system = parseQubesXml(await readFile(join(RECORDED, 'qubes-r4.xml'), 'utf8'));
const qubeCalled = (name: string): StoredQube => {
  const found = system.qubes.find((qube) => qube.name === name);
  return found ?? expect.fail(`there is no ${name}`);
};

const created = new Date('2026-03-01T10:20:30Z');
const work = { qube: qubeCalled('work'), directory: 'vm5', size: 123_456 };
const home = { directory: 'dom0-home/home', user: 'joanna', size: 789 };
const backup = { created, dom0Home: home, qubes: [work] };
const text = backupQubesXml({ ...backup, dom0: qubeCalled('dom0') });

describe("a backup's qubes.xml", () => {
  it('says what is in the backup, and when it was made', () => {
    const read = readBackupQubesXml(text);
    expect(read).toMatchObject({ created, dom0Home: home });
    expect(read.qubes).toMatchObject([{ directory: 'vm5', size: 123_456 }]);
    const [{ qube } = expect.fail()] = read.qubes;
    const { properties, features, tags, devices, label, qubeClass } = qubeCalled('work');
    expect(qube).toMatchObject({ name: 'work', label, qubeClass });
    expect(qube.properties).toEqual(properties);
    expect(qube.features).toEqual(features);
    expect(qube.tags).toEqual(tags);
    expect(qube.devices).toEqual(devices);
    expect(qube.volumes.map(({ name, size }) => [name, size])).toContainEqual([
      'private',
      2147483648,
    ]);
  });

  it('keeps the settings of each volume, but not its location', () => {
    fc.assert(
      fc.property(
        fc.option(fc.integer({ min: -1, max: 1000 }), { nil: undefined }),
        fc.option(fc.boolean(), { nil: undefined }),
        (revisionsToKeep, ephemeral) => {
          const volumes = work.qube.volumes.map((each) => ({
            ...each,
            revisionsToKeep,
            ephemeral,
          }));
          const qubes = [{ ...work, qube: { ...work.qube, volumes } }];
          const read = readBackupQubesXml(
            backupQubesXml({ ...backup, qubes, dom0: qubeCalled('dom0') }),
          );
          for (const volume of read.qubes[0]?.qube.volumes ?? []) {
            expect(volume).toMatchObject({ revisionsToKeep, ephemeral, settings: new Map() });
          }
          expect(read.qubes[0]?.qube.volumes).toHaveLength(volumes.length);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('contains no features with temporary state, and ignores those that the official tools store', () => {
    const state = ['preload-dispvm', 'preload-dispvm-completed', 'preload-dispvm-in-progress'];
    const all = [...state, 'deferred-netvm-original', 'preload-dispvm-max', 'service.cups'];
    const features = new Map(all.map((feature) => [feature, '1']));
    const qubes = [{ ...work, qube: { ...work.qube, features } }];
    const written = backupQubesXml({ ...backup, qubes, dom0: qubeCalled('dom0') });
    expect(written).not.toMatch(/preload-dispvm["-](?!max)|deferred-netvm/);
    const official = written.replace(/"preload-dispvm-max"/, '"preload-dispvm"');
    for (const [from, kept] of [
      [written, ['preload-dispvm-max', 'service.cups']],
      [official, ['service.cups']],
    ] as const) {
      const [{ qube } = expect.fail()] = readBackupQubesXml(from).qubes;
      expect([...qube.features.keys()]).toEqual(kept);
    }
  });

  it.each(['', '-2', '1.5', '99999999999', 'many'])(
    'with "%s" revisions to keep is read as without that setting',
    (untrusted) => {
      const odd = text.replaceAll(/revisions_to_keep="\d+"/g, `revisions_to_keep="${untrusted}"`);
      expect(odd).not.toBe(text);
      const [{ qube } = expect.fail()] = readBackupQubesXml(odd).qubes;
      expect(qube.volumes.every((volume) => volume.revisionsToKeep === undefined)).toBe(true);
    },
  );

  it('contains nothing of other VMs but the names that the VMs in the backup refer to', () => {
    for (const other of ['sys-net', 'sys-firewall', 'dev-box', 'c678f94c']) {
      expect(text).not.toContain(other);
    }
    expect(text).not.toContain('/var/lib/qubes');
    expect(text).toContain('<property name="template">fedora-42-xfce</property>');
    expect(text).toContain('<property name="default_dispvm">default-dvm</property>');
  });

  it('has the features that the official tools need', () => {
    const { qubes } = parseQubesXml(text);
    expect(qubes.map(({ name }) => name)).toEqual(['dom0', 'work']);
    expect(Object.fromEntries(qubes[0]?.features ?? [])).toMatchObject({
      'backup-content': 'True',
      'backup-path': 'dom0-home/home',
      'backup-size': '789',
    });
    expect(Object.fromEntries(qubes[1]?.features ?? [])).toMatchObject({
      'backup-content': 'True',
      'backup-path': 'vm5/',
      'backup-size': '123456',
    });
  });

  it('contains dom0 even without its home', () => {
    const without = backupQubesXml({ ...backup, dom0Home: undefined, dom0: qubeCalled('dom0') });
    expect(parseQubesXml(without).qubes[0]?.features.get('backup-content')).toBe('');
    expect(readBackupQubesXml(without).dom0Home).toBeUndefined();
  });

  it('keeps a label that the user defined', () => {
    const qube = { ...work.qube, label: 'pink' };
    const own = backupQubesXml({ ...backup, qubes: [{ ...work, qube }], dom0: qubeCalled('dom0') });
    expect(readBackupQubesXml(own).qubes[0]?.qube.label).toBe('pink');
  });

  it('of the official tools is read without the VMs that are not in the backup', () => {
    const official = text
      .replace(/<feature name="backup-(created|user)">[^<]*<\/feature>/g, '')
      .replace('dom0-home/home', 'dom0-home/marek')
      .replace(
        '</domains>',
        `<domain id="domain-9" class="AppVM"><properties><property name="label">blue</property>
        <property name="name">other</property><property name="qid">9</property></properties>
        <features><feature name="backup-content"/></features></domain></domains>`,
      );
    const read = readBackupQubesXml(official);
    expect(read.created).toBeUndefined();
    expect(read.dom0Home).toMatchObject({ directory: 'dom0-home/marek', user: 'marek' });
    expect(read.qubes.map(({ qube }) => qube.name)).toEqual(['work']);
  });

  it.each([
    ['an invalid time', '2026-03-01T10:20:30Z', 'yesterday'],
    ['an invalid date', '2026-03-01T10:20:30Z', '2026-13-41T10:20:30Z'],
  ])('with %s is refused', (_, from, to) => {
    expect(text).toContain(from);
    expect(() => readBackupQubesXml(text.replace(from, to))).toThrow(DamagedError);
  });

  const dev = { qube: qubeCalled('dev-box'), directory: 'vm9', size: 1 };
  const both = backupQubesXml({ ...backup, qubes: [work, dev], dom0: qubeCalled('dom0') });

  it.each([
    ['a path that leads out of the backup', '>vm5/<', '>../vm5/<'],
    ['an absolute path', '>vm5/<', '>/etc/<'],
    ['the path of another file', '>vm5/<', '>qubes.xml<'],
    ['an invalid size', '>123456<', '>-1<'],
    ['a forbidden name', '>work<', '>work-dm<'],
    ['a path as its name', '>work<', '>../../etc<'],
    ['the name of another VM', '>work<', '>dev-box<'],
    ['no name', '<property name="name">work</property>', ''],
    ['an invalid qid', '<property name="qid">5<', '<property name="qid">many<'],
    ['a volume with a path as its name', 'name="private"', 'name="../private"'],
    ['a setting twice', '<feature name="backup-size">123456<', '<feature name="backup-path">vm4/<'],
    ['an unknown class', 'class="AppVM"', 'class="CloudVM"'],
  ])('with a VM that has %s is read without that VM', (_, from, to) => {
    const start = both.indexOf('<domain', both.indexOf('AdminVM'));
    expect(both.slice(start)).toContain(from);
    const odd = both.slice(0, start) + both.slice(start).replace(from, to);
    const { qubes, unusable, dom0Home } = readBackupQubesXml(odd);
    const names = [...qubes.map(({ qube }) => qube.name), ...unusable.map(({ name }) => name)];
    if (from === '>work<' && to === '>dev-box<') expect(qubes).toHaveLength(1);
    else expect(qubes.map(({ qube }) => qube.name)).toEqual(['dev-box']);
    expect(names).toHaveLength(2);
    expect(unusable[0]?.why).not.toBe('');
    expect(dom0Home).toMatchObject(home);
  });

  it('with an undefined label is read with the label red, with a remark', () => {
    const odd = both.replace(/<label id="label-6"[^>]*>blue<\/label>/, '');
    expect(odd).not.toBe(both);
    const { qubes, unusable } = readBackupQubesXml(odd);
    expect(unusable).toEqual([]);
    expect(qubes[0]).toMatchObject({ qube: { name: 'work', label: 'red' } });
    expect(qubes[0]?.remarks).toEqual([expect.stringMatching(/^label red, since .* "blue"$/)]);
  });

  it.each([
    ['a path that leads out of the backup', '>dom0-home/home<', '>dom0-home/..<'],
    ['a path as its user', '>joanna<', '>../joanna<'],
    ['an invalid size', '>789<', '>x<'],
  ])('with a home that has %s is read without the home', (_, from, to) => {
    expect(both).toContain(from);
    const { qubes, unusable, dom0Home } = readBackupQubesXml(both.replace(from, to));
    expect(qubes.map(({ qube }) => qube.name)).toEqual(['work', 'dev-box']);
    expect(dom0Home).toBeUndefined();
    expect(unusable).toMatchObject([{ name: 'dom0' }]);
  });

  it('with two VMs in the same directory is read without the second', () => {
    const same = backupQubesXml({
      ...backup,
      qubes: [work, { ...dev, directory: 'vm5' }],
      dom0: qubeCalled('dom0'),
    });
    const { qubes, unusable } = readBackupQubesXml(same);
    expect(qubes.map(({ qube }) => qube.name)).toEqual(['work']);
    expect(unusable).toMatchObject([{ name: 'dev-box', directory: 'vm5' }]);
  });
});

describe("files of dom0's configuration in the qubes.xml of a backup", () => {
  const written = (paths: readonly string[]): string =>
    backupQubesXml({
      ...backup,
      dom0: qubeCalled('dom0'),
      dom0Paths: { directory: 'dom0-home/paths', paths, size: 7 },
    });

  it('are read as they were written, for any paths', () => {
    const path = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }).map((s) => `/${s}`);
    fc.assert(
      fc.property(fc.array(path, { minLength: 1, maxLength: 100 }), (paths) => {
        expect(readBackupQubesXml(written(paths)).dom0Paths).toEqual({
          ...{ directory: 'dom0-home/paths', paths, size: 7 },
        });
      }),
    );
  });

  it.each([
    ['a relative path', ['etc']],
    ['no path', []],
    ['too many paths', Array.from({ length: 101 }, () => '/etc')],
    ['a path that is too long', [`/${'x'.repeat(5000)}`]],
  ])('are not restored if there is %s', (_, paths) => {
    const read = readBackupQubesXml(written(paths));
    expect(read.dom0Paths).toBeUndefined();
    expect(read.unusable).toMatchObject([{ name: 'dom0' }]);
    expect(read.dom0Home).toMatchObject(home);
  });
});
