import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtRpms, commandsOfCoffer, repository, version } from './build-packages.ts';
import { makeFormerVersion } from './former-version.ts';
import { Root } from './root.ts';

const PROFILE = '/etc/qubes/coffer.d/weekly.conf';

let scratch: string;
let dom0: string;
let vm: string;
const NAMES = ['dom0', 'gui', 'vm', 'vm-prune'].map((name) => `qubes-coffer-${name}`);

let gui: string;
let vmPrune: string;
let source: string;

beforeAll(async () => {
  scratch = mkdtempSync(path.join(tmpdir(), 'coffer-packages-'));
  ({ dom0, gui, vm, vmPrune, source } = await builtRpms());
}, 300_000);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function query(...words: string[]): string[] {
  const text = execFileSync('rpm', ['--query', '--nosignature', '--package', ...words], {
    encoding: 'utf8',
  });
  return text.trim().split('\n');
}

const DIRECTORIES = ['/etc', '/etc/qubes', '/usr', '/usr/bin', '/usr/lib', '/usr/share'];

describe('the RPM packages', () => {
  it('are four, and the source', () => {
    expect(readdirSync(path.dirname(dom0)).sort()).toEqual(
      [source, dom0, gui, vm, vmPrune].map((f) => path.basename(f)).sort(),
    );
  });

  it('pass rpmlint', () => {
    const config = path.join(repository, 'rpm/rpmlint.toml');
    const said = execFileSync('rpmlint', ['--config', config, dom0, gui, vm, vmPrune, source], {
      encoding: 'utf8',
    });
    expect(said).toContain('0 errors, 0 warnings');
  });

  it('require what their programs need', () => {
    expect(query('--requires', dom0)).toEqual(
      expect.arrayContaining(['nodejs(engine) >= 20', 'bash', 'coreutils', 'tar', 'zstd']),
    );
    expect(query('--requires', vm)).toEqual(
      expect.arrayContaining(['nodejs(engine) >= 18', 'util-linux']),
    );
    expect(query('--requires', vmPrune)).toContain(`qubes-coffer-vm = ${version}`);
  });

  it('declare every npm package that is bundled, and contain its licence', () => {
    using root = new Root();
    root.rpm('--install', '--noscripts', dom0, vm);
    for (const [rpm, name] of [
      [dom0, 'dom0'],
      [vm, 'vm'],
    ] as const) {
      const bundled = query('--provides', rpm).flatMap((line) => {
        const [, npm = '', version = ''] = /^bundled\(npm\((.*)\)\) = (.*)$/.exec(line) ?? [];
        return npm === '' ? [] : [{ npm, version }];
      });
      expect(bundled.map(({ npm }) => npm)).toContain('protobufjs');
      const licences = root.read(
        `/usr/share/licenses/qubes-coffer-${name}/bundled-npm-packages.txt`,
      );
      for (const { npm, version } of bundled) expect(licences).toContain(`${npm} ${version}: `);
      expect(licences.match(/^={3,}$/gm)).toHaveLength(bundled.length);
    }
  });

  it('bundle no npm package that is not declared', () => {
    using root = new Root();
    root.rpm('--install', '--noscripts', dom0);
    const inside = root
      .read('/usr/share/coffer/coffer')
      .matchAll(/^\/\/ (?:.*\/)?node_modules\/((?:@[^/\n]+\/)?[^/\n]+)\//gm);
    const provided = query('--provides', dom0).join('\n');
    for (const [, npm] of inside) expect(provided).toContain(`bundled(npm(${npm}))`);
  });

  it('have a changelog', () => {
    expect(query('--changelog', dom0)[0]).toMatch(new RegExp(`- ${version}-1$`));
  });
});

describe('in an empty root directory,', () => {
  it('the dom0 package has every file in its place', () => {
    using root = new Root();
    root.rpm('--install', dom0);
    const documents = readdirSync(path.join(repository, 'docs')).filter((f) => f.endsWith('.md'));
    const pictures = readdirSync(path.join(repository, 'docs/pictures'));
    const doc = '/usr/share/doc/qubes-coffer-dom0';
    expect(withoutCommonDirectories(root.list())).toEqual(
      [
        'drwxr-xr-x root root /etc/qubes/coffer.d',
        'drwxr-xr-x root root /etc/qubes/policy.d',
        '-rw-r--r-- root root /etc/qubes/policy.d/50-coffer.policy',
        '-rwxr-xr-x root root /usr/bin/coffer',
        'drwxr-xr-x root root /usr/lib/systemd',
        'drwxr-xr-x root root /usr/lib/systemd/system',
        '-rw-r--r-- root root /usr/lib/systemd/system/coffer-backup@.service',
        '-rw-r--r-- root root /usr/lib/systemd/system/coffer-backup@.timer',
        '-rw-r--r-- root root /usr/lib/systemd/system/coffer-failure@.service',
        'drwxr-xr-x root root /usr/lib/systemd/user',
        '-rw-r--r-- root root /usr/lib/systemd/user/coffer-status.service',
        '-rw-r--r-- root root /usr/lib/systemd/user/coffer-status.timer',
        'drwxr-xr-x root root /usr/share/bash-completion',
        'drwxr-xr-x root root /usr/share/bash-completion/completions',
        '-rw-r--r-- root root /usr/share/bash-completion/completions/coffer',
        'drwxr-xr-x root root /usr/share/fish',
        'drwxr-xr-x root root /usr/share/fish/vendor_completions.d',
        '-rw-r--r-- root root /usr/share/fish/vendor_completions.d/coffer.fish',
        'drwxr-xr-x root root /usr/share/zsh',
        'drwxr-xr-x root root /usr/share/zsh/site-functions',
        '-rw-r--r-- root root /usr/share/zsh/site-functions/_coffer',
        'drwxr-xr-x root root /usr/share/coffer',
        '-rw-r--r-- root root /usr/share/coffer/coffer',
        '-rwxr-xr-x root root /usr/share/coffer/notify-failure',
        '-rwxr-xr-x root root /usr/share/coffer/coffer-gc.sh',
        '-rwxr-xr-x root root /usr/share/coffer/recover.sh',
        'drwxr-xr-x root root /usr/share/doc',
        `drwxr-xr-x root root ${doc}`,
        `drwxr-xr-x root root ${doc}/docs`,
        ...documents.map((file) => `-rw-r--r-- root root ${doc}/docs/${file}`),
        `drwxr-xr-x root root ${doc}/docs/pictures`,
        ...pictures.map((file) => `-rw-r--r-- root root ${doc}/docs/pictures/${file}`),
        ...['CHANGELOG.md', 'README.md', 'SECURITY.md', 'example-profile.conf'].map(
          (file) => `-rw-r--r-- root root ${doc}/${file}`,
        ),
        ...licencesOf('qubes-coffer-dom0'),
        ...manualOf('coffer', ...commandsOfCoffer().map((command) => `coffer-${command}`)),
      ].sort(),
    );
  });

  it('the links in the documents of the packages lead to files in the packages', () => {
    using root = new Root();
    root.rpm('--install', dom0, gui, vm, vmPrune);
    const doc = '/usr/share/doc/qubes-coffer';
    const files = root.list().flatMap((line) => line.split(' ').at(-1) ?? []);
    const pages = files.filter((file) => file.startsWith(doc) && file.endsWith('.md'));
    expect(pages.length).toBeGreaterThan(10);
    for (const page of pages) {
      const links = [...root.read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(
        ([, to = '']) => to,
      );
      for (const to of links.filter((each) => !each.includes('://'))) {
        expect(files, `${to} in ${page}`).toContain(path.posix.join(path.posix.dirname(page), to));
      }
    }
  });

  it('the VM package has every file in its place', () => {
    using root = new Root();
    root.rpm('--install', vm);
    const services = ['Store', 'Fetch', 'Browse'];
    const doc = '/usr/share/doc/qubes-coffer-vm';
    expect(withoutCommonDirectories(root.list())).toEqual(
      [
        'drwxr-xr-x root root /etc/qubes-rpc',
        ...services.map((name) => `-rwxr-xr-x root root /etc/qubes-rpc/coffer.${name}`),
        'drwxr-xr-x root root /etc/qubes/rpc-config',
        ...services.map((name) => `-rw-r--r-- root root /etc/qubes/rpc-config/coffer.${name}`),
        '-rwxr-xr-x root root /usr/bin/coffer-vm-agent',
        'drwxr-xr-x root root /usr/share/coffer',
        '-rw-r--r-- root root /usr/share/coffer/coffer-vm-agent',
        'drwxr-xr-x root root /usr/share/coffer/through',
        '-rwxr-xr-x root root /usr/share/coffer/through/coffer-rclone',
        '-rwxr-xr-x root root /usr/share/coffer/through/coffer-ssh',
        '-rwxr-xr-x root root /usr/share/coffer/vm-service',
        'drwxr-xr-x root root /usr/share/doc',
        `drwxr-xr-x root root ${doc}`,
        `-rw-r--r-- root root ${doc}/CHANGELOG.md`,
        ...licencesOf('qubes-coffer-vm'),
        ...manualOf('coffer-vm-agent'),
      ].sort(),
    );
  });

  it('the GUI package adds the windows with their menu entries', () => {
    using root = new Root();
    root.rpm('--install', dom0);
    const before = root.list();
    root.rpm('--install', gui);
    const added = root.list().filter((line) => !before.includes(line) && line.startsWith('-'));
    const doc = '/usr/share/doc/qubes-coffer-gui';
    expect(added.sort()).toEqual(
      [
        '-rwxr-xr-x root root /usr/bin/coffer-gui',
        '-rw-r--r-- root root /etc/xdg/autostart/org.qubes_os.coffer.watch.desktop',
        ...['backup', 'restore'].map(
          (name) =>
            `-rw-r--r-- root root /usr/share/applications/org.qubes_os.coffer.${name}.desktop`,
        ),
        `-rw-r--r-- root root ${doc}/CHANGELOG.md`,
        '-rw-r--r-- root root /usr/share/icons/hicolor/scalable/apps/qubes-coffer.svg',
        '-rw-r--r-- root root /usr/share/licenses/qubes-coffer-gui/LICENSE',
        '-rw-r--r-- root root /usr/share/locale/de/LC_MESSAGES/coffer.mo',
        '-rw-r--r-- root root /usr/share/metainfo/org.qubes_os.coffer.metainfo.xml',
      ].sort(),
    );
  });

  it('the prune package adds only the services that change or delete backups', () => {
    using root = new Root();
    root.rpm('--install', vm);
    const before = root.list();
    root.rpm('--install', vmPrune);
    const services = ['Delete', 'Assemble'];
    const added = root.list().filter((line) => !before.includes(line) && line.startsWith('-'));
    expect(added.sort()).toEqual(
      [
        ...services.map((name) => `-rwxr-xr-x root root /etc/qubes-rpc/coffer.${name}`),
        ...services.map((name) => `-rw-r--r-- root root /etc/qubes/rpc-config/coffer.${name}`),
        '-rw-r--r-- root root /usr/share/doc/qubes-coffer-vm-prune/CHANGELOG.md',
        '-rw-r--r-- root root /usr/share/licenses/qubes-coffer-vm-prune/LICENSE',
      ].sort(),
    );
  });

  it('all packages can be removed without a trace', () => {
    using root = new Root();
    root.populate();
    const before = root.list();
    root.rpm('--install', dom0, gui, vm, vmPrune);
    expect(root.list().length).toBeGreaterThan(before.length);
    root.rpm('--erase', ...NAMES);
    const left = root.list().filter((line) => !before.includes(line));
    // Directories that the packages share with Qubes and systemd are not removed.
    expect(left.filter((line) => !line.startsWith('d'))).toEqual([]);
    expect(left.join('\n')).not.toMatch(/coffer/);
  });
});

function withoutCommonDirectories(lines: readonly string[]): string[] {
  return lines.filter((line) => !DIRECTORIES.some((name) => line.endsWith(` ${name}`))).sort();
}

function licencesOf(name: string): string[] {
  return [
    'drwxr-xr-x root root /usr/share/licenses',
    `drwxr-xr-x root root /usr/share/licenses/${name}`,
    `-rw-r--r-- root root /usr/share/licenses/${name}/LICENSE`,
    `-rw-r--r-- root root /usr/share/licenses/${name}/bundled-npm-packages.txt`,
  ];
}

function manualOf(...names: readonly string[]): string[] {
  return [
    'drwxr-xr-x root root /usr/share/man',
    'drwxr-xr-x root root /usr/share/man/man1',
    ...names.map((name) => `-rw-r--r-- root root /usr/share/man/man1/${name}.1.gz`),
  ];
}

describe('the user’s configuration', () => {
  const link = '/etc/systemd/system/timers.target.wants/coffer-backup@weekly.timer';
  const policy = '/etc/qubes/policy.d/50-coffer.policy';
  const service = '/etc/qubes-rpc/coffer.Store';

  it('survives an upgrade from the previous version, and a removal', () => {
    using root = new Root();
    root.populate();
    const former = path.join(scratch, 'former');
    mkdirSync(former);
    root.rpm('--install', ...makeFormerVersion([dom0, gui, vm, vmPrune], source, former));
    expect(root.read('/usr/share/coffer/coffer')).toMatch(/# former\n$/);
    writeFileSync(path.join(root.path, PROFILE), 'location = /backups\n', { mode: 0o600 });
    appendFileSync(path.join(root.path, policy), '# my line\n');
    appendFileSync(path.join(root.path, service), '# my line\n');
    root.run(['systemctl', 'enable', 'coffer-backup@weekly.timer']);

    root.rpm('--upgrade', dom0, gui, vm, vmPrune);
    expect(root.rpm('--query', '--all')).toContain(`qubes-coffer-dom0-${version}-1`);
    expect(root.read(PROFILE)).toBe('location = /backups\n');
    expect(root.list()).toContain(`-rw------- root root ${PROFILE}`);
    for (const file of [policy, service]) {
      expect(root.read(file)).toMatch(/# former\n# my line\n$/);
      expect(root.read(`${file}.rpmnew`)).not.toContain('# former');
    }
    expect(root.read('/etc/qubes-rpc/coffer.Fetch')).not.toContain('# former');
    expect(root.read('/usr/share/coffer/coffer')).not.toContain('# former');
    expect(root.list().join('\n')).not.toContain('/usr/share/coffer/former');
    expect(root.list().join('\n')).toContain(link);

    root.rpm('--erase', ...NAMES);
    const left = root.list().filter((line) => line.includes('coffer'));
    expect(left.map((line) => line.split(' ').at(-1)).sort()).toEqual(
      [
        '/etc/qubes/coffer.d',
        PROFILE,
        `${policy}.rpmnew`,
        `${policy}.rpmsave`,
        `${service}.rpmnew`,
        `${service}.rpmsave`,
      ].sort(),
    );
    expect(existsSync(path.join(root.path, link))).toBe(false);
  });
});
