import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type BackupFlags, addBackupOptions } from '../../dom0-agent/cli/backup-options.ts';
import { type BackupRequest, requestBackup } from '../../dom0-agent/cli/backup-request.ts';
import { parseOfficialProfile } from '../../dom0-agent/cli/official-profile.ts';
import {
  type ProfilePlaces,
  listProfiles,
  newProfile,
  readProfile,
  writeProfile,
} from '../../dom0-agent/cli/profile-files.ts';
import { formatProfile, parseProfile } from '../../dom0-agent/cli/profile.ts';
import { UsageError, messageOf } from '../../shared/errors.ts';

let directory: string;
let places: ProfilePlaces;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'coffer-profile-'));
  const qubes = path.join(directory, 'official');
  mkdirSync(qubes);
  places = { coffer: directory, qubes };
});
afterEach(() => rmSync(directory, { recursive: true }));

function write(name: string, text: string, mode: number): string {
  const file = path.join(directory, name);
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

/** The options that a profile can have, as an error lists them. */
function knownOptions(): string[] {
  try {
    parseProfile('what = x', 'f');
  } catch (error) {
    return messageOf(error).split('in a profile, only ')[1]?.split(', ') ?? [];
  }
  return [];
}

describe('a profile', () => {
  it('gives the same options as the command line', async () => {
    const passphrase = write('p', 'secret\n', 0o600);
    const text = `# where to
location = /mnt/back up = here
dest-vm=sys-usb

vm = work
vm = dom0
exclude = untrusted
running = skip
format = qubes-4
encrypt = no
command = yes
compress-filter = xz
kdf-cost = 20
passphrase-file = ${passphrase}
passphrase-vm = vault
dom0-path = /etc/qubes
dom0-path = /srv/salt
dedup = all
with-recovery = no
keep-daily = 7
keep-within = 30d
`;
    const file = write('weekly.conf', text, 0o644);
    expect(await readProfile('weekly', places)).toEqual({
      ...{ kind: 'coffer', file },
      location: '/mnt/back up = here',
      qubes: ['work', 'dom0'],
      flags: {
        destVm: 'sys-usb',
        exclude: ['untrusted'],
        running: 'skip',
        format: 'qubes-4',
        encrypt: false,
        command: true,
        compressFilter: 'xz',
        kdfCost: 20,
        passphraseFile: passphrase,
        passphraseVm: 'vault',
        dom0Path: ['/etc/qubes', '/srv/salt'],
        dedup: 'all',
      },
      rules: { keepDaily: 7, keepWithin: { count: 30, unit: 'd' } },
    });
  });

  it('sets only what it names', () => {
    const text = 'location = x\ncommand = no\n';
    expect(parseProfile(text, 'f')).toEqual({
      ...{ location: 'x', qubes: [], flags: {}, rules: {} },
    });
  });

  it('is shown with every option in the example of the package', () => {
    const example = readFileSync(
      new URL('../../rpm/example-profile.conf', import.meta.url),
      'utf8',
    );
    const all = example.replace(/^#(?=\S+ = )/gm, '');
    expect(parseProfile(all, 'f').location).toBe('/run/media/user/backups');
    const named = [...all.matchAll(/^(\S+) = /gm)].map(([, option]) => option);
    expect(new Set(named)).toEqual(new Set(knownOptions()));
  });

  it('is described with every option in the manual', () => {
    const manual = readFileSync(new URL('../../docs/man/coffer.1', import.meta.url), 'utf8');
    const [, section = ''] = manual.replaceAll('\\-', '-').split(/^\.SH PROFILES$/m);
    const known = knownOptions();
    expect(known).toContain('location');
    for (const option of known) expect(section).toMatch(new RegExp(`^\\.B.* ?${option}\\b`, 'm'));
  });

  it.each([
    ['no location', 'vm = work', 'f does not say where'],
    ['an unknown option', 'location = x\nvms = work', 'f, line 2: there is no option "vms"'],
    [
      'an option with the name of a method',
      'location = x\ntoString = work',
      'no option "toString"',
    ],
    ['no value', 'location =', 'f, line 1: "location =" is not'],
    ['no equals sign', 'location', 'is not "option = value"'],
    ['an option twice', 'location = x\n\nlocation = y', 'f, line 3: "location" is given twice'],
    ['a switch that is neither yes nor no', 'encrypt = false', 'yes or no, not "false"'],
    ['an unknown filter', 'compress-filter = cat', "'cat' is invalid. Allowed choices are zstd"],
    [
      'an unknown choice',
      'running = stop',
      "'stop' is invalid. Allowed choices are include, skip, refuse",
    ],
    ['an unknown format', 'format = zip', "'zip' is invalid. Allowed choices are coffer-1"],
    ['a cost that is too low', 'kdf-cost = 3', 'from 14 to 21'],
    ['a cost that is not decimal', 'kdf-cost = 0x10', 'from 14 to 21'],
    ['a relative passphrase file', 'passphrase-file = p', 'absolute'],
    ['a relative path of dom0', 'dom0-path = etc/qubes', 'absolute'],
    ['a control character', 'location = a\u001b[31m', '?[31m" is not'],
  ])('is refused with %s', (_, text, message) => {
    expect(() => parseProfile(text, 'f')).toThrow(UsageError);
    expect(() => parseProfile(text, 'f')).toThrow(message);
  });

  it('of any text is either read or refused', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          parseProfile(text, 'f');
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });

  it('gives VMs and the location as they are written', () => {
    const word = fc.stringMatching(/^[!-~]([ -~]{0,30}[!-~])?$/);
    fc.assert(
      fc.property(word, fc.array(word), (location, qubes) => {
        const lines = [`location = ${location}`, ...qubes.map((name) => `vm = ${name}`)];
        expect(parseProfile(lines.join('\n'), 'f')).toEqual({
          ...{ location, qubes, flags: {}, rules: {} },
        });
      }),
    );
  });
});

describe('the file of a profile', () => {
  it.each(['../weekly', '.weekly', '', 'a/b', 'a\nb'])(
    'is refused if it is called %j',
    async (name) => {
      await expect(readProfile(name, places)).rejects.toThrow(UsageError);
    },
  );

  it('is refused if it does not exist', async () => {
    await expect(readProfile('weekly', places)).rejects.toThrow(
      /weekly\.conf cannot be used: there is no such file/,
    );
  });

  it.each(['664', '646'])('is refused if others can write to it (mode %s)', async (mode) => {
    write('weekly.conf', 'location = x\n', parseInt(mode, 8));
    await expect(readProfile('weekly', places)).rejects.toThrow(/others could change it/);
  });

  it.each(['640', '604', '620'])(
    'is refused if others can read or write the passphrase file that it names (mode %s)',
    async (mode) => {
      const secret = write('p', 'secret\n', parseInt(mode, 8));
      write('weekly.conf', `location = x\npassphrase-file = ${secret}\n`, 0o600);
      const reading = readProfile('weekly', places);
      await expect(reading).rejects.toThrow(UsageError);
      await expect(reading).rejects.toThrow(/can be read by others/);
    },
  );

  it('is refused if the passphrase file that it names does not exist', async () => {
    write('weekly.conf', `location = x\npassphrase-file = ${directory}/none\n`, 0o600);
    await expect(readProfile('weekly', places)).rejects.toThrow(/none of .* cannot be used/);
  });
});

describe('a saved profile', () => {
  it('is read as it was written, whatever is in it', () => {
    const word = fc.stringMatching(/^[!-~]([ -~]{0,30}[!-~])?$/);
    const flags = fc.record(
      {
        destVm: word,
        exclude: fc.array(word, { minLength: 1 }),
        running: fc.constantFrom('include', 'skip', 'refuse'),
        format: fc.constantFrom('coffer-1', 'qubes-4'),
        encrypt: fc.constant(false),
        command: fc.constant(true),
        withRecovery: fc.constant(true),
        compressFilter: fc.constantFrom('zstd', 'none'),
        kdfCost: fc.integer({ min: 14, max: 21 }),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(word, fc.array(word), flags, (location, qubes, given) => {
        const profile = { location, qubes, flags: given as Partial<BackupFlags> };
        expect(parseProfile(formatProfile(profile), 'f')).toEqual({ ...profile, rules: {} });
      }),
    );
  });

  it.each(['', ' x', 'x ', 'a\nb', 'a\u001bb'])('cannot have the location %j', (location) => {
    expect(() => formatProfile({ location, qubes: [], flags: {} })).toThrow(UsageError);
  });

  it('is a new file, which others cannot write to', async () => {
    const profile = { location: '/mnt', qubes: ['work'], flags: {} };
    const file = path.join(directory, 'nightly.conf');
    await writeProfile(await newProfile('nightly', profile, places));
    expect(readFileSync(file, 'utf8')).toBe('location = /mnt\nvm = work\n');
    expect(statSync(file).mode & 0o022).toBe(0);
    await expect(newProfile('nightly', profile, places)).rejects.toThrow('it is not overwritten');
    await expect(writeProfile({ file, text: 'x' })).rejects.toThrow('it is not overwritten');
    await expect(newProfile('../nightly', profile, places)).rejects.toThrow(UsageError);
  });
});

describe('a profile of the official tools', () => {
  it('is read, with groups of VMs as both releases write them', () => {
    const text = `# Include all VMs with a few exceptions
include:
  - $type:AppVM
  - '@type:TemplateVM'
  - dom0
exclude: [untrusted, $tag:do-not-backup]
compression: pigz
passphrase_vm: vault
destination_vm: sys-usb
destination_path: /media/my-backup-disk
`;
    expect(parseOfficialProfile(text, 'f')).toEqual({
      location: '/media/my-backup-disk',
      qubes: ['@type:AppVM', '@type:TemplateVM', 'dom0'],
      flags: {
        destVm: 'sys-usb',
        exclude: ['untrusted', '@tag:do-not-backup'],
        compressFilter: 'gzip',
        passphraseVm: 'vault',
      },
      rules: {},
    });
  });

  it('may contain the passphrase itself, and need not name VMs', () => {
    const text =
      'include: null\ndestination_vm: dom0\ndestination_path: /x\npassphrase_text: "a: b"\n';
    expect(parseOfficialProfile(`${text}passphrase_vm: vault\ncompression: yes\n`, 'f')).toEqual({
      ...{ location: '/x', qubes: [], flags: {}, rules: {}, passphraseText: 'a: b' },
    });
  });

  it.each([
    ['no location', 'include: [work]', 'it lacks destination_path'],
    ['an unknown field', 'destination_path: x\nexlude: [work]', 'there is no field "exlude"'],
    [
      'a name that is not a text',
      'destination_path: x\ninclude: [1]',
      'include must be a list of names',
    ],
    ['an empty list', 'destination_path: x\ninclude: []', 'include names no VM'],
    [
      'a filter that coffer does not have',
      'destination_path: x\ncompression: rot13',
      'compression must be',
    ],
    ['an alias', 'destination_path: &a x\ninclude: [*a]', 'Alias'],
    ['no fields', '- a', 'it is not a profile'],
    ['a text that is not YAML', 'a: [', 'f: '],
    [
      'a passphrase of several lines',
      'destination_path: x\npassphrase_text: "a\\nb"',
      'a line of text',
    ],
  ])('is refused with %s', (_, text, message) => {
    expect(() => parseOfficialProfile(text, 'f')).toThrow(UsageError);
    expect(() => parseOfficialProfile(text, 'f')).toThrow(message);
  });

  it('of any text is either read or refused', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          parseOfficialProfile(text, 'f');
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });

  it('is used if coffer has no profile of that name', async () => {
    write('official/weekly.conf', 'destination_path: /official\n', 0o664);
    expect(await readProfile('weekly', places)).toMatchObject({
      ...{ kind: 'qubes', location: '/official' },
    });
    write('weekly.conf', 'location = /own\n', 0o644);
    expect(await readProfile('weekly', places)).toMatchObject({ kind: 'coffer', location: '/own' });
  });
});

it('all profiles are listed, with the problem of an invalid one', async () => {
  write('weekly.conf', 'location = /own\n', 0o644);
  write('broken.conf', 'vm = work\n', 0o644);
  write('official/weekly.conf', 'destination_path: /official\n', 0o664);
  write('official/old.conf', 'destination_path: /old\n', 0o664);
  const listed = await listProfiles(places);
  expect(listed.map(({ name, kind, profile }) => [name, kind, profile?.location])).toEqual([
    ['broken', 'coffer', undefined],
    ['old', 'qubes', '/old'],
    ['weekly', 'coffer', '/own'],
  ]);
  expect(listed[0]?.problem).toMatch(/does not say where/);
  expect(await listProfiles({ coffer: '/nosuch', qubes: '/nosuch' })).toEqual([]);
});

describe('the command line with a profile', () => {
  const PROFILE = `location = x
vm = work
exclude = untrusted
running = skip
encrypt = no
kdf-cost = 20
`;

  async function request(words: readonly string[], location?: string): Promise<BackupRequest> {
    write('weekly.conf', PROFILE, 0o600);
    vi.stubEnv('COFFER_PROFILES', directory);
    const command = addBackupOptions(new Command('backup'));
    command.parse(['--profile', 'weekly', ...words], { from: 'user' });
    return requestBackup(location, [], command).finally(() => vi.unstubAllEnvs());
  }

  it('uses the options of the profile that it does not set itself', async () => {
    const { location, qubes, flags, excludedByProfile } = await request(['-y']);
    expect({ location, qubes }).toEqual({ location: 'x', qubes: ['work'] });
    expect(flags).toMatchObject({ running: 'skip', encrypt: false, kdfCost: 20, yes: true });
    expect(flags).toMatchObject({ exclude: ['untrusted'], format: 'coffer-1' });
    expect(excludedByProfile).toBe(true);
  });

  it('takes precedence over the profile, option by option', async () => {
    const words = ['--running', 'refuse', '--kdf-cost=14', '-x', 'vault'];
    const { flags, excludedByProfile } = await request(words);
    expect(flags).toMatchObject({ running: 'refuse', kdfCost: 14, encrypt: false });
    expect(flags.exclude).toEqual(['vault']);
    expect(excludedByProfile).toBe(false);
  });

  it('is refused if it conflicts with the profile', async () => {
    await expect(request(['--format', 'qubes-4'])).rejects.toThrow(
      '--no-encrypt cannot be used with',
    );
  });

  it('is refused if it names a location, too', async () => {
    await expect(request([], 'y')).rejects.toThrow('the profile defines LOCATION and VMs');
  });
});
