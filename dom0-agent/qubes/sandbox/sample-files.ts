import { KiB, MiB } from '../../../shared/sizes.ts';
import { manyFiles, type SampleEntry } from './sample-tree.ts';

/** What is on the sample volumes: `<VM>/<volume>`. Together more than 200 MB. */
export const SAMPLE_VOLUMES: ReadonlyMap<string, readonly SampleEntry[]> = new Map([
  [
    'debian-13/root',
    [
      { path: 'etc/hostname', text: 'debian-13\n' },
      { path: 'etc/os-release', text: 'NAME="Debian GNU/Linux"\nVERSION_ID="13"\n' },
      ...manyFiles(['etc/conf.d', 'service', '.conf'], 200, 'prose', 2 * KiB),
      ...manyFiles(['usr/bin', 'program', ''], 20, 'program', 600 * KiB),
      ...manyFiles(['usr/lib', 'library', '.so'], 8, 'program', 4 * MiB),
      ...manyFiles(['usr/share/doc', 'manual', '.txt'], 12, 'prose', MiB),
      ...manyFiles(['var/log', 'syslog', '.log'], 4, 'records', 2 * MiB),
      { path: 'usr/lib/library.so', linkTo: 'library-1.so' },
      { path: 'var/empty', emptyDirectory: true },
    ],
  ],
  ['debian-13/private', [{ path: 'home/user/.profile', text: 'umask 022\n' }]],
  [
    'work/private',
    [
      { path: 'home/user/letter to the office.txt', text: 'Dear office,\nall is well.\n' },
      { path: 'home/user/Übersicht 2026 – Entwurf.txt', text: 'Noch leer.\n' },
      { path: 'home/user/nothing', text: '' },
      ...manyFiles(['home/user/Documents', 'report', '.txt'], 15, 'prose', MiB),
      ...manyFiles(['home/user/Pictures', 'photograph', '.jpg'], 12, 'noise', 4 * MiB),
      ...manyFiles(['home/user/Mail', 'inbox', '.mbox'], 3, 'records', 4 * MiB),
      { path: 'home/user/latest.txt', linkTo: 'Documents/report-15.txt' },
      { path: 'home/user/Desktop', emptyDirectory: true },
    ],
  ],
  [
    'vault/private',
    [
      { path: 'home/user/passwords.kdbx', kind: 'noise', bytes: 300 * KiB },
      ...manyFiles(['home/user/keys', 'key', '.gpg'], 20, 'noise', 3 * KiB),
      ...manyFiles(['home/user/scans', 'contract', '.pdf'], 4, 'noise', 2 * MiB),
    ],
  ],
  [
    'dev-box/root',
    [
      { path: 'etc/hostname', text: 'dev-box\n' },
      ...manyFiles(['usr/bin', 'compiler', ''], 6, 'program', 5 * MiB),
      ...manyFiles(['usr/include', 'header', '.h'], 250, 'prose', 6 * KiB),
    ],
  ],
  [
    'dev-box/private',
    [
      ...manyFiles(['home/user/project/src', 'module', '.c'], 400, 'prose', 8 * KiB),
      ...manyFiles(['home/user/project/build', 'object', '.o'], 10, 'program', 2 * MiB),
      { path: 'home/user/project/test.sh', text: '#!/bin/sh\nexec make check\n', executable: true },
      { path: 'home/user/project/build.log', kind: 'records', bytes: 6 * MiB },
    ],
  ],
  ['sys-usb/private', [{ path: 'home/user/.profile', text: 'umask 077\n' }]],
]);

/** The home of dom0's user: typical files, and names that trip up careless programs. */
export const DOM0_FILES: readonly SampleEntry[] = [
  { path: '.bashrc', text: 'alias ll="ls -l"\n' },
  { path: '.config/qubes/menu.json', text: '{"favourites": ["work", "vault"]}\n' },
  { path: 'bin/tidy-up', text: '#!/bin/sh\nexec qvm-ls\n', executable: true },
  { path: 'Pictures/wallpaper.png', kind: 'noise', bytes: 700 * KiB },
  { path: 'logs/qubes.log', kind: 'records', bytes: 900 * KiB },
  { path: 'wallpaper', linkTo: 'Pictures/wallpaper.png' },
  { path: 'to nowhere', linkTo: '/no/such/place' },
  { path: 'empty directory', emptyDirectory: true },
  { path: 'empty file', text: '' },
  { path: '-rf', text: 'A name like an option.\n' },
  { path: 'two\nlines', text: 'A name of two lines.\n' },
  { path: ` quotes ' " and $(spaces) `, text: 'A name that a shell would misread.\n' },
  { path: 'back\\slash*?', text: 'A name like a pattern.\n' },
  { path: `${'long-'.repeat(40)}name`, text: 'A name of 204 characters.\n' },
  { path: 'größer/日本語.txt', text: 'Names in other scripts.\n' },
];

/** dom0's home in a sandbox to restore to. */
export const EMPTY_DOM0_FILES: readonly SampleEntry[] = [{ path: '.bashrc', text: '# new\n' }];
