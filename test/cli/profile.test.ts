import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { addBackupOptions } from '../../dom0-agent/cli/backup-options.ts';
import { type BackupRequest, requestBackup } from '../../dom0-agent/cli/backup-request.ts';
import { parseProfile, readProfile } from '../../dom0-agent/cli/profile.ts';
import { UsageError, messageOf } from '../../shared/errors.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'coffer-profile-'));
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
`;
    write('weekly.conf', text, 0o644);
    expect(await readProfile('weekly', directory)).toEqual({
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
      },
    });
  });

  it('sets only what it names', () => {
    const text = 'location = x\ncommand = no\n';
    expect(parseProfile(text, 'f')).toEqual({ location: 'x', qubes: [], flags: {} });
  });

  it('can have every option, like the example in the package', () => {
    const example = readFileSync(
      new URL('../../rpm/example-profile.conf', import.meta.url),
      'utf8',
    );
    const all = example.replace(/^#(?=\S+ = )/gm, '');
    expect(parseProfile(all, 'f').location).toBe('/run/media/user/backups');
    const named = [...all.matchAll(/^(\S+) = /gm)].map(([, option]) => option);
    expect(new Set(named)).toEqual(new Set(knownOptions()));
  });

  it('is described in the manual, with every option', () => {
    const manual = readFileSync(new URL('../../docs/man/coffer.1', import.meta.url), 'utf8');
    const [, section = ''] = manual.replaceAll('\\-', '-').split(/^\.SH PROFILES$/m);
    const known = knownOptions();
    expect(known).toContain('location');
    for (const option of known) expect(section).toMatch(new RegExp(`^\\.B.* ?${option}\\b`, 'm'));
  });

  it.each([
    ['no place', 'vm = work', 'f does not say where'],
    ['an unknown option', 'location = x\nvms = work', 'f, line 2: there is no option "vms"'],
    ['an option of every object', 'location = x\ntoString = work', 'no option "toString"'],
    ['no value', 'location =', 'f, line 1: "location =" is not'],
    ['no equals sign', 'location', 'is not "option = value"'],
    ['an option twice', 'location = x\n\nlocation = y', 'f, line 3: "location" is given twice'],
    ['neither yes nor no', 'encrypt = false', 'yes or no, not "false"'],
    ['an unknown filter', 'compress-filter = cat', "'cat' is invalid. Allowed choices are zstd"],
    [
      'an unknown choice',
      'running = stop',
      "'stop' is invalid. Allowed choices are include, skip, refuse",
    ],
    ['an unknown format', 'format = zip', "'zip' is invalid. Allowed choices are coffer-1"],
    ['too little cost', 'kdf-cost = 3', 'from 14 to 21'],
    ['a cost that is no number', 'kdf-cost = 0x10', 'from 14 to 21'],
    ['a relative passphrase file', 'passphrase-file = p', 'absolute'],
    ['a control character', 'location = a\u001b[31m', '?[31m" is not'],
  ])('is refused with %s', (_, text, message) => {
    expect(() => parseProfile(text, 'f')).toThrow(UsageError);
    expect(() => parseProfile(text, 'f')).toThrow(message);
  });

  it('is either refused or read, whatever the text', () => {
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

  it('gives every VM and location as it was written', () => {
    const word = fc.stringMatching(/^[!-~]([ -~]{0,30}[!-~])?$/);
    fc.assert(
      fc.property(word, fc.array(word), (location, qubes) => {
        const lines = [`location = ${location}`, ...qubes.map((name) => `vm = ${name}`)];
        expect(parseProfile(lines.join('\n'), 'f')).toEqual({ location, qubes, flags: {} });
      }),
    );
  });
});

describe('the file of a profile', () => {
  it.each(['../weekly', '.weekly', '', 'a/b', 'a\nb'])('cannot be called %j', async (name) => {
    await expect(readProfile(name, directory)).rejects.toThrow(UsageError);
  });

  it('must exist', async () => {
    await expect(readProfile('weekly', directory)).rejects.toThrow(
      /weekly\.conf cannot be used: there is no such file/,
    );
  });

  it.each(['664', '646'])('must not be writable by others (mode %s)', async (mode) => {
    write('weekly.conf', 'location = x\n', parseInt(mode, 8));
    await expect(readProfile('weekly', directory)).rejects.toThrow(/others could change it/);
  });

  it.each(['640', '604', '620'])(
    'must name a passphrase file that only we may read and change (mode %s)',
    async (mode) => {
      const secret = write('p', 'secret\n', parseInt(mode, 8));
      write('weekly.conf', `location = x\npassphrase-file = ${secret}\n`, 0o600);
      const reading = readProfile('weekly', directory);
      await expect(reading).rejects.toThrow(UsageError);
      await expect(reading).rejects.toThrow(/can be read by others/);
    },
  );

  it('must name a passphrase file that exists', async () => {
    write('weekly.conf', `location = x\npassphrase-file = ${directory}/none\n`, 0o600);
    await expect(readProfile('weekly', directory)).rejects.toThrow(/none of .* cannot be used/);
  });
});

describe('the command line, with a profile,', () => {
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

  it('uses the profile for what it does not set', async () => {
    const { location, qubes, flags, excludedByProfile } = await request(['-y']);
    expect({ location, qubes }).toEqual({ location: 'x', qubes: ['work'] });
    expect(flags).toMatchObject({ running: 'skip', encrypt: false, kdfCost: 20, yes: true });
    expect(flags).toMatchObject({ exclude: ['untrusted'], format: 'coffer-1' });
    expect(excludedByProfile).toBe(true);
  });

  it('takes precedence, option by option', async () => {
    const words = ['--running', 'refuse', '--kdf-cost=14', '-x', 'vault'];
    const { flags, excludedByProfile } = await request(words);
    expect(flags).toMatchObject({ running: 'refuse', kdfCost: 14, encrypt: false });
    expect(flags.exclude).toEqual(['vault']);
    expect(excludedByProfile).toBe(false);
  });

  it('cannot contradict it', async () => {
    await expect(request(['--format', 'qubes-4'])).rejects.toThrow(
      '--no-encrypt cannot be used with',
    );
  });

  it('cannot name a location as well', async () => {
    await expect(request([], 'y')).rejects.toThrow('the profile defines LOCATION and VMs');
  });
});
