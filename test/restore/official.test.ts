import { describe, expect, it } from 'vitest';

import { DamagedError } from '../../shared/errors.ts';
import { expectedOfFixtures, fixture } from '../archive/official-archives.ts';
import { makeQubes3 } from '../archive/qubes3/make-qubes3.ts';
import { emptySystem, hashesOf, restoreArchive, verifyArchive } from './restoring-system.ts';

const { passphrase, backups } = expectedOfFixtures();

describe.each(Object.keys(backups))('the fixture %s', (name) => {
  it('is verified and restored', async () => {
    const { directory, system } = await emptySystem();
    const archive = fixture(name);
    const expected = backups[name] ?? {};
    const verified = await verifyArchive(archive, passphrase);
    expect(
      verified.every(({ result, size, used }) => result === 'verified' && (size ?? used) > 0),
    ).toBe(true);
    const outcomes = await restoreArchive(archive, passphrase, system);
    expect(outcomes.every(({ result }) => result === 'restored')).toBe(true);
    for (const [qube, hashes] of Object.entries(expected)) {
      expect(await hashesOf(directory, system, qube)).toEqual(hashes);
    }
  });
});

describe('a backup of R3', () => {
  const passphraseOfOurs = 'correct horse';
  const qubesXml = `<QubesVmCollection default_netvm="None" default_template="9">
    <QubesTemplateVm qid="9" name="fedora" label="black" backup_content="True"
      backup_path="vm-templates/fedora"/>
    <QubesAppVm qid="5" name="work" label="green" template_qid="9" backup_content="True"
      backup_path="appvms/work"/>
    <QubesAdminVm qid="0" name="dom0"/>
  </QubesVmCollection>`;
  const directoryOfTemplate = {
    'root.img': 'the root',
    'private.img': 'private',
    'volatile.img': 'of no use',
    'apps/x.desktop': 'x',
    'whitelisted-appmenus.list': 'xterm.desktop\n',
  };
  const files = {
    'qubes.xml': qubesXml,
    'vm-templates/fedora/.': directoryOfTemplate,
    'appvms/work/private.img': 'work',
    'appvms/work/firewall.xml':
      '<QubesFirewallRules policy="deny" dns="allow" icmp="deny"><rule address="192.0.2.0"' +
      ' netmask="24" proto="tcp" port="443"/></QubesFirewallRules>',
    'appvms/work/whitelisted-appmenus.list': 'firefox.desktop\nxterm.desktop\n; rm -rf .desktop\n',
  };
  const make = (some: typeof files | Record<string, string>): Buffer =>
    makeQubes3({ version: 3, passphrase: passphraseOfOurs, cipher: 'aes-256-cbc', files: some });

  it('with a whole template, a firewall and menus is restored', async () => {
    const { system } = await emptySystem();
    const archive = make(files);
    const verified = await verifyArchive(archive, passphraseOfOurs);
    expect(verified.map(({ name, used }) => [name, used > 0])).toEqual([
      ['fedora', true],
      ['work', true],
    ]);
    const outcomes = await restoreArchive(archive, passphraseOfOurs, system);
    expect(outcomes).toMatchObject([
      { name: 'fedora', result: 'restored', size: 15, remarks: [] },
      { name: 'work', result: 'restored', size: 4, remarks: [] },
    ]);
    const qubes = new Map((await system.qubes()).map((qube) => [qube.name, qube]));
    expect(qubes.get('work')?.properties.get('template')).toBe('fedora');
    expect(qubes.get('work')?.features.get('menu-items')).toBe('firefox.desktop xterm.desktop');
    expect(qubes.get('fedora')?.features.get('menu-items')).toBe('xterm.desktop');
    expect((await system.firewall('work'))?.map((rule) => Object.fromEntries(rule))).toEqual([
      { action: 'accept', specialtarget: 'dns' },
      { action: 'drop', proto: 'icmp' },
      { action: 'accept', dst4: '192.0.2.0/24', proto: 'tcp', dstports: '443-443' },
      { action: 'drop' },
    ]);
  });

  it('is restored with its firewall but without menus if settings are distrusted', async () => {
    const { system } = await emptySystem();
    const outcomes = await restoreArchive(make(files), passphraseOfOurs, system, {
      distrustSettings: true,
    });
    expect(outcomes.map(({ remarks }) => remarks)).toEqual([
      ['menu entries left out: settings are distrusted'],
      ['menu entries left out: settings are distrusted'],
    ]);
    const work = (await system.qubes()).find(({ name }) => name === 'work');
    expect(work?.features.has('menu-items')).toBe(false);
    expect(await system.firewall('work')).toHaveLength(4);
  });

  it('whose template lacks a volume is refused, and leaves nothing behind', async () => {
    const { system } = await emptySystem();
    const archive = makeQubes3({
      ...{ version: 3, passphrase: passphraseOfOurs },
      files: { ...files, 'vm-templates/fedora/.': { 'private.img': 'private' } },
    });
    const restoring = restoreArchive(archive, passphraseOfOurs, system);
    await expect(restoring).rejects.toThrow(DamagedError);
    await expect(restoring).rejects.toThrow(/does not contain vm-templates\/fedora\/root.img/);
    expect((await system.qubes()).map(({ name }) => name)).toEqual(['dom0', 'debian-13']);
    expect(await verifyArchive(archive, passphraseOfOurs)).toMatchObject([
      {
        name: 'fedora',
        result: 'damaged',
        remarks: [expect.stringMatching(/root volume is missing/)],
      },
      { name: 'work', result: 'verified' },
    ]);
  });
});
