import { describe, expect, test } from 'vitest';
import { readR3QubesXml } from '../../dom0-agent/qubes/xml/read-r3-qubes-xml.ts';
import { FilesSeen } from '../../dom0-agent/contents/archived-files.ts';
import { archiveOf, expectedOfFixtures, fixture, membersOf, readAll } from './official-archives.ts';

const { passphrase, backups } = expectedOfFixtures();
const names = Object.keys(backups);

describe.each(names)('the fixture %s', (name) => {
  test.each([
    ['a file', true],
    ['a stream', false],
  ])('gives every volume unchanged, read as %s', async (_, seekable) => {
    const { qubesXml, files } = await readAll(fixture(name), passphrase, seekable);
    const volumes = [...files].filter(([path]) => path.endsWith('.img'));
    const expected = Object.values(backups[name] ?? {}).flatMap((vm) => Object.values(vm));
    expect(volumes.map(([, hash]) => hash).sort()).toEqual(expected.sort());
    expect(qubesXml).toMatch(
      name.startsWith('qubes4') ? /^<qubes>|^<\?xml/ : /^<QubesVmCollection/,
    );
  });
});

test('there are nine fixtures', () => {
  expect(names).toHaveLength(9);
});

describe.each(names.filter((name) => !name.startsWith('qubes4')))('the fixture %s', (name) => {
  test('contains everything that its qubes.xml lists, and lacks the home if it is truncated before that', async () => {
    const archive = fixture(name);
    const { qubesXml, paths } = await readAll(archive, passphrase);
    const contents = readR3QubesXml(qubesXml);
    expect(contents.qubes.map(({ qube }) => qube.name)).toEqual(Object.keys(backups[name] ?? {}));
    expect(contents.dom0Home?.user).toBe('dom0user');
    const missing = (paths: Iterable<string>): string[] => {
      const seen = new FilesSeen(contents);
      for (const path of paths) seen.note(path);
      return seen.missingOf(contents);
    };
    expect(missing(paths)).toEqual([]);

    // Truncated between two files, where the archive itself does not show it.
    const members = membersOf(archive);
    const home = members.findIndex((member) => member.name.startsWith('dom0-home/'));
    const short = await readAll(archiveOf(members.slice(0, home)), passphrase);
    expect(missing(short.paths)).toEqual(['dom0-home/dom0user']);
  });
});
