import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PASSPHRASE as SAMPLE_PASSPHRASE, makeArchive } from '../archive/coffer1/sample.ts';
import { LYING_MAPS, LYING_PARTS } from '../archive/coffer1/lies.ts';
import { resealed } from '../archive/coffer1/reseal.ts';
import { WorkDirectory } from '../archive/official-archives.ts';
import { setChecksum } from '../archive/tar/header.ts';
import { makeQubes3, membersWithMacs } from '../archive/qubes3/make-qubes3.ts';
import { PASSPHRASE, coffer1Backup, smallFile } from './backups.ts';
import { followPage } from './document.ts';
import { makeImage } from './image.ts';
import { Recovery, SHELLS } from './script.ts';

/**
 * Authentic backups that were made by a system under an attacker's control. If root recovers them, as people do who recover
 * a disk, devices and special modes could be created.
 */
async function backupOf(path: string, innerTar: Buffer): Promise<Buffer> {
  async function* pieces(): AsyncGenerator<Buffer> {
    yield await Promise.resolve(innerTar);
  }
  return coffer1Backup([{ kind: 'tree', path, tar: pieces() }]);
}

/** A tar of the files that `make` creates in a directory. */
function tarOf(make: (directory: string) => void, ...args: string[]): Buffer {
  using work = new WorkDirectory();
  make(work.path);
  return work.run('tar', ['--format=posix', '--absolute-names', '-cf', '-', ...args]);
}

const IMAGE = 'vm5/private.img';
const inVm = (make: (image: string) => void) => (directory: string) => {
  mkdirSync(join(directory, 'vm5'));
  make(join(directory, IMAGE));
};
const mkfifo = (file: string): void => void execFileSync('mkfifo', [file]);

/** The tar with each pipe in it turned into a block device, which only root could have stored. */
function withDevices(tar: Buffer): Buffer {
  for (let at = 0; at < tar.length; at += 512) {
    const header = tar.subarray(at, at + 512);
    if (header.toString('latin1', 257, 262) !== 'ustar' || header.at(156) !== PIPE) continue;
    header.write('4', 156);
    header.write('0000007\0' + '0000372\0', 329);
    setChecksum(header);
  }
  return tar;
}
const PIPE = '6'.charCodeAt(0);

const NO_PLAIN_FILES: readonly [string, Buffer][] = [
  ['a device', withDevices(tarOf(inVm(mkfifo), IMAGE))],
  ['a pipe', tarOf(inVm(mkfifo), IMAGE)],
  [
    'a link to a directory',
    tarOf(
      inVm((image) => symlinkSync('/etc', image)),
      IMAGE,
    ),
  ],
  [
    'a link to a file',
    tarOf(
      inVm((image) => symlinkSync('/etc/passwd', image)),
      IMAGE,
    ),
  ],
  [
    'a directory',
    tarOf(
      inVm((image) => mkdirSync(image)),
      IMAGE,
    ),
  ],
];

describe('from an authentic but hostile backup, recover.sh creates no', () => {
  it.each([
    '--absolute-names',
    '--to-command=sh',
    'vm5/private.img/authorized_keys',
    'dom0-home/home/.bashrc',
    '.bashrc',
    'vm5/.ssh',
    'vm5',
    'vm5/a/b.img',
  ])('file %s, which coffer never writes', async (path) => {
    using recovery = new Recovery(await coffer1Backup([smallFile(path, 'x')]));
    const { status, stderr } = recovery.recover();
    expect(status).toBe(3);
    expect(stderr).toMatch(/a path that coffer never writes|damaged/);
    expect(recovery.recovered()).toEqual([]);
  });

  it.each(LYING_MAPS)('volume from a map that %s', async (_, lie) => {
    const bytes = await makeArchive({ [IMAGE]: Buffer.alloc(200_000, 'x') });
    const backup = await resealed(bytes, { 'vm5/private.map.000': lie });
    for (const shell of SHELLS) {
      using recovery = new Recovery(backup, shell);
      recovery.passphrase(SAMPLE_PASSPHRASE);
      const { status, stderr } = recovery.recover();
      expect({ status, stderr }).toMatchObject({ status: 3 });
      expect(stderr).toMatch(
        /the map of vm5\/private.img is authentic, but not valid|private.img .* in another file/,
      );
      expect(recovery.recovered()).toEqual(['qubes.xml']);
      expect(recovery.leftovers()).toEqual([]);
    }
  });

  it.each([
    ['that the backup does not contain', (text: string) => withFile(text, 'vm7/notes.txt 5')],
    ['in another directory', (text: string) => withFile(text, '../../notes.txt 5')],
    ['that is the map of a volume', (text: string) => withFile(text, 'vm5/private.map 5')],
    ['whose size is not a number', (text: string) => withFile(text, 'qubes.xml -5')],
  ])('file of a manifest %s', async (_, lie) => {
    const bytes = await makeArchive({ [IMAGE]: Buffer.alloc(200_000, 'x') });
    const backup = await resealed(bytes, { 'manifest.000': lie });
    for (const shell of SHELLS) {
      using recovery = new Recovery(backup, shell);
      recovery.passphrase(SAMPLE_PASSPHRASE);
      const { status, stderr } = recovery.recover();
      expect({ status, stderr }).toMatchObject({ status: 3 });
      expect(stderr).toMatch(/does not agree with its manifest/);
      expect(recovery.recovered()).toEqual([]);
    }
  });

  it.each(SHELLS)(
    'device and no special mode in a home, but everything else (%s)',
    async (shell) => {
      const innerTar = tarOf((directory) => {
        const home = join(directory, 'dom0-home/home');
        mkdirSync(join(home, 'modules'), { recursive: true });
        mkfifo(join(home, 'disk\nwith a line feed'));
        writeFileSync(join(home, 'su'), 'su');
        writeFileSync(join(home, 'modules/file'), 'read only');
        symlinkSync('/etc', join(home, 'etc'));
        execFileSync('chmod', ['6755', join(home, 'su')]);
        execFileSync('chmod', ['555', join(home, 'modules')]);
      }, 'dom0-home/home');
      const backup = await backupOf('dom0-home/home', withDevices(innerTar));
      using recovery = new Recovery(backup, shell);
      const { status, stderr } = recovery.recover();
      // Root could create a device, which recover.sh prevents; other users cannot.
      const why =
        process.getuid?.() === 0
          ? 'a device was left out'
          : 'tar: dom0-home/home/disk\\nwith a line feed: Cannot mknod: Operation not permitted';
      const said = `recover.sh: not all of dom0-home/home could be unpacked: ${why}\n`;
      expect({ status, stderr }).toEqual({ status: 1, stderr: said });
      const home = recovery.pathOf('dom0-home/home.incomplete');
      expect(readdirSync(home).sort()).toEqual(['etc', 'modules', 'su']);
      expect(lstatSync(join(home, 'su')).mode & 0o7077).toBe(0);
      expect(lstatSync(join(home, 'etc')).isSymbolicLink()).toBe(true);
      expect(recovery.leftovers()).toEqual([]);
    },
  );

  it('file outside of its directory through a link in a home', async () => {
    using victim = new WorkDirectory();
    const innerTar = tarOf(
      (directory) => {
        const home = join(directory, 'dom0-home/home');
        mkdirSync(home, { recursive: true });
        symlinkSync(victim.path, join(home, 'link'));
        writeFileSync(join(directory, 'file'), 'evil');
      },
      '--transform=flags=r;s,^file,dom0-home/home/link/file,',
      'dom0-home/home',
      'file',
    );
    using recovery = new Recovery(await backupOf('dom0-home/home', innerTar));
    recovery.recover();
    expect(readdirSync(victim.path)).toEqual([]);
  });
});

/** A manifest that lists one more file. */
function withFile(manifest: string, file: string): string {
  return manifest.replace(/^total /m, `file ${file}\ntotal `);
}

it.each(SHELLS)(
  'a map with many runs in the same part does not take hours (%s)',
  async (shell) => {
    const cut = { grain: 65_536, partSize: 32 * 65_536 };
    const bytes = await makeArchive({ [IMAGE]: Buffer.alloc(200_000, 'x') }, { cut });
    const count = 100_000;
    const runs = Array.from({ length: count }, (_, at) => `run ${2 * at} 1 0 0 0\n`).join('');
    const backup = await resealed(bytes, {
      // A part of another file is needed, too, which is not there: so no run is written.
      'vm5/private.map.000': (text) =>
        text
          .replace(/^size .*$/m, `size ${2 * (count + 1) * 65_536}`)
          .replace(/^run .*\n/gm, '')
          .replace(
            /^(backup .*\n)/m,
            `$1backup 1 ${'0'.repeat(32)}\n${runs}run ${2 * count} 1 1 0 0\n`,
          )
          .replace(/^end \d+ \d+/m, `end ${count + 1} ${count + 1}`),
    });
    using recovery = new Recovery(backup, shell);
    recovery.passphrase(SAMPLE_PASSPHRASE);
    const { status, stderr } = recovery.recover();
    expect(stderr).toMatch(/vm5\/private.img was not recovered: parts of it lie in another file/);
    expect(status).toBe(3);
  },
  40_000,
);

/** Sequences that a terminal obeys, in C0, C1 and UTF-8. */
const ESCAPES = '\u001b[2J\u009b31m\u202egnp\r';
const OBEYED = /[^\P{Cc}\n]|\p{Cf}/u;
/** Those without spaces, in latin1. */
const SEEN = '\u001b[2J\u009b31m\u0007';

describe('an authentic but hostile backup sends no control characters to a terminal', () => {
  const xml = `<qubes><domains><domain id="domain-5" class="AppVM"><properties>
    <property name="name">work${ESCAPES}</property></properties>
    <features><feature name="backup-path">vm5/</feature></features></domain></domains></qubes>`;
  const contents = {
    'qubes.xml': Buffer.from(xml),
    'vm5/notes.txt': Buffer.from(`a note${ESCAPES}`),
    'vm5/incomplete.txt': Buffer.from(`private${ESCAPES}`),
  };
  const home = tarOf((directory) => {
    const path = join(directory, 'dom0-home/home');
    mkdirSync(path, { recursive: true });
    mkfifo(join(path, `device${ESCAPES}`));
  }, 'dom0-home/home');

  it('through recover.sh, neither when it lists nor when it recovers', async () => {
    using recovery = new Recovery(await makeArchive(contents));
    recovery.passphrase(SAMPLE_PASSPHRASE);
    const outcomes = [recovery.list(), recovery.recover()];
    expect(outcomes.map(({ status }) => status)).toEqual([0, 1]);
    expect(outcomes[0]?.stdout).toContain('vm5/notes.txt');
    for (const { stdout, stderr } of outcomes) expect(stdout + stderr).not.toMatch(OBEYED);
    using other = new Recovery(await backupOf('dom0-home/home', withDevices(home)));
    const { stdout, stderr } = other.recover();
    expect(stdout + stderr).not.toMatch(OBEYED);
  });

  it.each([
    ['its path', 'manifest.000', (text: string) => withFile(text, `vm5/${SEEN} 5`)],
    ['its size', 'manifest.000', (text: string) => withFile(text, `qubes.xml ${SEEN}`)],
    [
      'its time',
      'manifest.000',
      (text: string) => text.replace(/^made .*$/m, `made ${SEEN} ../name.1`),
    ],
    [
      'another time',
      'manifest.000',
      (text: string) => text.replace(/^total /m, `made ${SEEN}\ntotal `),
    ],
    [
      'the id of another file',
      'vm5/private.map.000',
      (text: string) => text.replace(/^backup 0 .*$/m, `backup 0 ${SEEN}`),
    ],
  ])('through recover.sh in %s', async (_, member, lie) => {
    const bytes = await makeArchive({ [IMAGE]: Buffer.alloc(200_000, 'x') });
    using recovery = new Recovery(await resealed(bytes, { [member]: lie }));
    recovery.passphrase(SAMPLE_PASSPHRASE);
    const outcomes = [recovery.list(), recovery.run('-p', 'passphrase', '.'), recovery.recover()];
    for (const { stdout, stderr } of outcomes) expect(stdout + stderr).not.toMatch(OBEYED);
  });

  it('through the page, neither from the header nor from the names in an image', async () => {
    using work = new WorkDirectory();
    const header =
      'version=3\nhmac-algorithm=SHA512\ncrypto-algorithm=aes-256-cbc\nencrypted=False\n' +
      `compressed=False\ncompression-filter=gzip\nx=${ESCAPES}\n`;
    const files = { [IMAGE]: makeImage({ [`letter${ESCAPES}`]: Buffer.from('x') }) };
    const backup = makeQubes3({ version: 3, files, passphrase: PASSPHRASE, header });
    const reader = { section: 'Format 3', backup, file: IMAGE, passphrase: PASSPHRASE };
    const { stdout, stderr } = await followPage(work, reader);
    expect(stdout).toContain(`${IMAGE} is recovered`);
    expect(stdout).toContain('letter');
    expect(stdout + stderr).not.toMatch(OBEYED);
  });
});

/** A backup of format 3 or 2, neither encrypted nor compressed, with this as the tar of IMAGE. */
function oldBackupOf(version: 2 | 3, innerTar: Buffer): Buffer {
  using work = new WorkDirectory();
  const recipe = { version, files: {}, passphrase: PASSPHRASE };
  return Buffer.concat([
    makeQubes3(recipe),
    membersWithMacs(work, [[`${IMAGE}.000`, innerTar]], recipe),
  ]);
}

describe('from an authentic but hostile backup, the page creates no', () => {
  it.each(LYING_PARTS)('volume from a part that %s', async (_, lie) => {
    const bytes = await makeArchive({ [IMAGE]: Buffer.alloc(200_000, 'x') });
    const backup = await resealed(bytes, { 'data.001': lie });
    using work = new WorkDirectory();
    const reader = { section: 'coffer-1', backup, file: IMAGE, passphrase: SAMPLE_PASSPHRASE };
    const { stderr } = await followPage(work, { ...reader, heedless: true });
    expect(stderr).toContain(`*** STOP: ${IMAGE} cannot be unpacked`);
    expect(work.has(`recovery/${IMAGE}`)).toBe(false);
    expect(work.has('recovery/unpacked')).toBe(false);
  });

  it.each(NO_PLAIN_FILES)('volume that is %s', async (_, innerTar) => {
    for (const [section, backup] of [
      ['Format 3', oldBackupOf(3, innerTar)],
      ['Format 2', oldBackupOf(2, innerTar)],
    ] as const) {
      using work = new WorkDirectory();
      const reader = { section, backup, file: IMAGE, passphrase: PASSPHRASE };
      const { stdout, stderr } = await followPage(work, { ...reader, heedless: true });
      expect(stdout, section).toContain(`parts of ${IMAGE} are authentic`);
      expect(stderr, section).toContain(`*** STOP: ${IMAGE} cannot be unpacked`);
      expect(work.has(`recovery/${IMAGE}`), section).toBe(false);
      expect(work.has('recovery/unpacked'), section).toBe(false);
    }
  });
});
