import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildSync } from 'esbuild';
import { pack } from 'tar-stream';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { collect } from '../archive/tar/gnu-tar.ts';
import { drain } from '../../dom0-agent/archive/drain.ts';
import { homeTar } from '../../dom0-agent/backup/home-tar.ts';
import { unpackHome } from '../../dom0-agent/restore/unpack-home.ts';
import { DamagedError, FailedError, RefusedError } from '../../shared/errors.ts';
import { nodeIn, otherUser } from '../other-user.ts';
import { Warnings } from '../restore/restoring-system.ts';
import { NotedRemarks } from './noted-remarks.ts';

const never = new AbortController().signal;
const NAME = 'dom0-home/home';

let directory: string;
let home: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'coffer-home-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  chmodSync(directory, 0o755);
  home = join(directory, 'user');
  mkdirSync(home);
});

/** Backs up `home` and restores it, completely and without a remark; returns the path of the copy. */
async function throughBackup(): Promise<string> {
  const remarks = new NotedRemarks();
  const target = join(directory, 'restored');
  const warnings = new Warnings();
  const tar = homeTar(home, NAME, remarks, never);
  expect(await unpackHome(tar, target, warnings, never)).toEqual([]);
  expect([...remarks.changes, ...remarks.gaps, ...warnings.texts]).toEqual([]);
  return target;
}

/** The tar of `home`. */
const read = (): AsyncGenerator<Buffer> => homeTar(home, NAME, new NotedRemarks(), never);

describe('a backup of dom0’s home', () => {
  it('keeps links, odd names, holes, times and modes', async () => {
    const odd = [
      '-rf',
      'new\nline',
      'tab\t',
      '"quoted\' \\',
      ' ',
      'ünï',
      '*',
      '.hidden',
      '.'.repeat(3),
    ];
    for (const name of [...odd, 'x'.repeat(255)]) writeFileSync(join(home, name), name);
    const latin1 = Buffer.concat([Buffer.from(`${home}/`), Buffer.from([0xe4, 0xff])]);
    writeFileSync(latin1, 'not UTF-8');
    mkdirSync(join(home, 'a/b'), { recursive: true });
    symlinkSync('../..', join(home, 'a/up'));
    symlinkSync('./nowhere', join(home, 'dangling'));
    writeFileSync(join(home, 'secret'), 'x', { mode: 0o600 });
    linkSync(join(home, 'secret'), join(home, 'a/same'));
    execFileSync('truncate', ['--size=50M', join(home, 'holes')]);
    execFileSync('touch', ['--date=2001-02-03 04:05:06.789', join(home, 'secret')]);

    const restored = await throughBackup();
    execFileSync('diff', ['--recursive', '--no-dereference', home, restored]);
    expect(readlinkSync(join(restored, 'a/up'))).toBe('../..');
    expect(statSync(join(restored, 'secret')).mode & 0o777).toBe(0o600);
    expect(statSync(join(restored, 'secret')).mtimeMs).toBe(statSync(join(home, 'secret')).mtimeMs);
    expect(statSync(join(restored, 'a/same')).ino).toBe(statSync(join(restored, 'secret')).ino);
    expect(statSync(join(restored, 'holes')).blocks).toBeLessThan(100);
    expect(statSync(restored).mode & 0o777).toBe(0o700);
  });

  it('keeps the modes of files and directories, whatever the umask, except setuid', async () => {
    const modes = { sticky: 0o1777, shared: 0o2775, closed: 0o500, group: 0o664, mine: 0o400 };
    for (const name of ['sticky', 'shared', 'closed']) mkdirSync(join(home, name));
    for (const name of ['group', 'mine', 'rights']) writeFileSync(join(home, name), 'x');
    for (const [name, mode] of Object.entries(modes)) chmodSync(join(home, name), mode);
    chmodSync(join(home, 'rights'), 0o6755);
    const umask = process.umask(0o077);
    const restored = await throughBackup().finally(() => process.umask(umask));
    const modeOf = (name: string) => statSync(join(restored, name)).mode & 0o7777;
    for (const [name, mode] of Object.entries(modes))
      expect([name, modeOf(name)]).toEqual([name, mode]);
    expect(modeOf('rights')).toBe(0o755);
  });

  it('leaves out sockets without a warning', async () => {
    const server = createServer().listen(join(home, 'socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    writeFileSync(join(home, 'letter'), 'x');
    const restored = await throughBackup().finally(() => server.close());
    expect(readdirSync(restored)).toEqual(['letter']);
  });

  it('is complete, with a warning, if a file shrinks while it is read', async () => {
    execFileSync('dd', ['if=/dev/zero', `of=${home}/shrinks`, 'bs=1M', 'count=20', 'status=none']);
    const remarks = new NotedRemarks();
    let bytes = 0;
    for await (const { length } of homeTar(home, NAME, remarks, never)) {
      if (bytes === 0) truncateSync(join(home, 'shrinks'), 2_000_000);
      bytes += length;
    }
    expect(bytes).toBeGreaterThan(20_000_000);
    expect(remarks.gaps).toEqual([]);
    expect(remarks.changes.join()).toMatch(
      /^shrinks: File shrank by \d+ bytes; padding with zeros/,
    );
  });

  it('fails if there is no such directory', async () => {
    const nowhere = homeTar(join(directory, 'nosuch'), NAME, new NotedRemarks(), never);
    await expect(drain(nowhere)).rejects.toThrow(FailedError);
  });

  it('stops when it is interrupted, even if nobody reads', async () => {
    execFileSync('dd', ['if=/dev/zero', `of=${home}/large`, 'bs=1M', 'count=20', 'status=none']);
    const controller = new AbortController();
    const reading = async (): Promise<void> => {
      const tar = homeTar(home, NAME, new NotedRemarks(), controller.signal);
      for await (const { length } of tar) if (length > 0) controller.abort(new Error('stop'));
    };
    await expect(reading()).rejects.toThrow(/^stop$/);
  });

  it('is not restored to a directory that exists', async () => {
    const target = join(directory, 'restored');
    mkdirSync(target);
    writeFileSync(join(target, 'mine'), 'mine');
    const restoring = unpackHome(read(), target, new Warnings(), never);
    await expect(restoring).rejects.toThrow(RefusedError);
    expect(readFileSync(join(target, 'mine'), 'utf8')).toBe('mine');
  });

  it('leaves nothing behind if it breaks off while it is restored', async () => {
    writeFileSync(join(home, 'letter'), 'x'.repeat(1_000_000));
    async function* broken(): AsyncGenerator<Buffer> {
      for await (const chunk of read()) {
        yield chunk;
        throw new DamagedError('the rest is lost');
      }
    }
    const target = join(directory, 'restored');
    const restoring = unpackHome(broken(), target, new Warnings(), never);
    await expect(restoring).rejects.toThrow(/^the rest is lost$/);
    expect(existsSync(target)).toBe(false);
  });
});

describe('a home that cannot be restored completely', () => {
  /** Restores what `change` makes of the tar of `home`, into a directory of an ordinary user. */
  async function restoreChanged(
    change: (tar: Buffer) => Buffer,
  ): Promise<{ target: string; missing: string[] }> {
    if (otherUser.uid !== undefined) chownSync(directory, otherUser.uid, otherUser.gid);
    const target = join(directory, 'restored');
    const changed = change(await collect(read()));
    async function* chunks(): AsyncGenerator<Buffer> {
      yield await Promise.resolve(changed);
    }
    const missing = await unpackHome(chunks(), target, new Warnings(), never);
    return { target, missing };
  }

  it('is kept without the files that could not be created, of which the first ten are named', async () => {
    for (let i = 0; i < 15; i++) writeFileSync(join(home, `device${i}`), '');
    writeFileSync(join(home, 'letter'), 'x');
    const { target, missing } = await restoreChanged((tar) => becomeDevices(tar, '/device'));
    expect(readdirSync(target)).toEqual(['letter']);
    expect(missing).toHaveLength(1);
    expect(missing[0]).toMatch(/^not made: (device\d+: Cannot mknod: [^;]+; ){10}and 5 more$/);
  });

  it('is kept as far as the backup contains it, and reported as incomplete if the end of its tar is missing', async () => {
    writeFileSync(join(home, 'letter'), 'x');
    const { target, missing } = await restoreChanged((tar) => {
      const end =
        tar.length -
        1 -
        Buffer.from(tar)
          .reverse()
          .findIndex((byte) => byte !== 0);
      return tar.subarray(0, Math.ceil(end / 512) * 512);
    });
    expect(readdirSync(target)).toEqual(['letter']);
    expect(missing.join()).toMatch(/backup does not contain all of it: .*ends too early/);
  });

  it('is an error, and leaves nothing behind, if nothing can be created', async () => {
    await expect(restoreChanged(() => Buffer.alloc(0))).rejects.toThrow(
      /nothing could be unpacked: the backup does not contain all of it/,
    );
    expect(readdirSync(directory)).not.toContain('restored');
  });
});

describe('a home that the author of a backup made up', () => {
  /** Everything below `directory` except what was restored. */
  const besideRestored = (): string[] =>
    readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .filter((path) => !path.startsWith('restored/'))
      .sort();

  it.each([
    ['two slashes', (path: string) => `dom0-home/home/${path}`],
    ['many slashes', (path: string) => `dom0-home///home////${path}`],
    ['slashes between all', (path: string) => `//dom0-home//home//${path}`],
    ['dots between all', (path: string) => `./dom0-home/./home/./${path}`],
    ['nothing but slashes before it', (path: string) => path],
    ['a short path before it', (path: string) => `home/${path}`],
    ['a way up', (path: string) => `dom0-home/home/../../../..${path}`],
    ['a way up, and two slashes', (path: string) => `../dom0-home/home/${path}`],
  ])('creates no file outside of its directory through %s', async (_, nameFor) => {
    writeFileSync(join(directory, 'secret'), 'secret');
    const before = [...besideRestored(), 'restored'].sort();
    const tar = pack();
    tar.entry({ name: 'dom0-home/home/letter' }, 'x');
    tar.entry({ name: nameFor(join(directory, 'planted')) }, 'x');
    tar.entry({ name: nameFor(join(directory, 'secret')) }, 'x');
    const linkname = nameFor(join(directory, 'secret'));
    tar.entry({ name: 'dom0-home/home/link', type: 'link', linkname });
    tar.entry({ name: 'dom0-home/home/written', type: 'symlink', linkname: directory });
    tar.entry({ name: 'dom0-home/home/written/planted' }, 'x');
    tar.finalize();
    if (otherUser.uid !== undefined) chownSync(directory, otherUser.uid, otherUser.gid);
    const target = join(directory, 'restored');
    await unpackHome(tar as AsyncIterable<Buffer>, target, new Warnings(), never);
    expect(besideRestored()).toEqual(before);
    expect(readFileSync(join(target, 'letter'), 'utf8')).toBe('x');
    expect(readFileSync(join(directory, 'secret'), 'utf8')).toBe('secret');
    expect(statSync(join(directory, 'secret')).nlink).toBe(1);
    expect(statSync(target).mode & 0o777).toBe(0o700);
  });
});

/** Turns the members of a tar whose paths contain `mark` into devices, which only root can create. */
function becomeDevices(tar: Buffer, mark: string): Buffer {
  const changed = Buffer.from(tar);
  for (let at = 0; at < changed.length; at += 512) {
    const block = changed.subarray(at, at + 512);
    const isFile = block.toString('latin1', 156, 157) === '0';
    if (!isFile || !block.toString('latin1', 0, 100).includes(mark)) continue;
    block.write('4', 156, 'latin1');
    block.fill(' ', 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  return changed;
}

describe('permissions', () => {
  it("are those of the home's user, even when root restores", async () => {
    writeFileSync(join(home, 'letter'), 'x');
    if (otherUser.uid !== undefined) chownSync(directory, otherUser.uid, otherUser.gid);
    const { uid, gid } = lstatSync(directory);
    const restored = await throughBackup();
    for (const path of [restored, join(restored, 'letter')]) {
      expect(lstatSync(path)).toMatchObject({ uid, gid });
    }
  });

  /** Reads the home as an ordinary user with the given sudo; returns the outcome. */
  function readBy(sudo: string | undefined, ...tar: string[]): unknown {
    const bundle = join(directory, 'read-home.mjs');
    buildSync({
      entryPoints: [fileURLToPath(new URL('read-home.ts', import.meta.url))],
      ...{ outfile: bundle, bundle: true, platform: 'node', format: 'esm', target: 'node20' },
      // Bundled packages that are CommonJS need `require`.
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    });
    if (sudo !== undefined) {
      writeFileSync(join(directory, 'sudo'), `#!/bin/sh\n${sudo}\n`, { mode: 0o755 });
    }
    // The directory of sudo stays one that only root may write to, as for a real sudo.
    const out = join(directory, 'out');
    mkdirSync(out, { recursive: true });
    chmodSync(out, 0o777);
    const paths = tar.map((name) => join(out, name));
    const run = spawnSync(nodeIn(directory), [bundle, home, ...paths], {
      ...otherUser,
      encoding: 'utf8',
      env: { PATH: `${directory}:/usr/bin:/bin` },
    });
    expect(run.stderr).toBe('');
    return JSON.parse(run.stdout);
  }

  function leaveClosedFile(): void {
    mkdirSync(join(home, 'a'));
    writeFileSync(join(home, 'a/closed'), 'x', { mode: 0 });
    writeFileSync(join(home, 'letter'), 'x');
  }

  const whole = { failure: undefined, changes: [], gaps: [] };

  it('of root are requested only if the home contains a file that its user cannot read', () => {
    const sudo = `shift 2; printf '%s\\n' "$*" >>${directory}/out/log; exec "$@"`;
    writeFileSync(join(home, 'letter'), 'x');
    expect(readBy(sudo, 'tar')).toEqual(whole);
    expect(existsSync(join(directory, 'out/log'))).toBe(false);
    rmSync(join(home, 'letter'));

    leaveClosedFile();
    // This sudo gives no permissions, so the file stays unreadable: it is missing, and the rest is there.
    expect(readBy(sudo, 'tar')).toEqual({
      ...whole,
      gaps: ['a/closed: Cannot open: Permission denied'],
    });
    expect(readFileSync(join(directory, 'out/log'), 'utf8')).toMatch(/^tar --create .* \.\n$/);
    const listed = execFileSync('tar', ['-tf', join(directory, 'out/tar')], { encoding: 'utf8' });
    expect(listed.split('\n')).toContain(`${NAME}/letter`);
  });

  it.each([
    ['wants a password', 'sudo: a password is required', /sudo asks for a password/],
    [
      'wants a password (sudo-rs)',
      'sudo: interactive authentication is required',
      /asks for a password/,
    ],
    ['wants a terminal', 'sudo: sorry, you must have a tty to run sudo', /`requiretty`/],
    [
      'does not know the user',
      'user is not in the sudoers file.',
      /does not allow it to this user/,
    ],
    [
      'allows something else',
      "Sorry, user user is not allowed to execute '/usr/bin/tar' as root on dom0.",
      /does not allow it to this user/,
    ],
    ['finds no tar', 'sudo: tar: command not found', /`secure_path`/],
    ['may not become root', 'sudo: The "no new privileges" flag is set, which', /NoNewPrivileges/],
    ['fails with an unknown message', 'sudo: the moon is full', /sudo: the moon is full/],
  ])('are missing if sudo %s: an error says so', (_, words, meaning) => {
    leaveClosedFile();
    // As the real sudo does: on standard error, and with the status that tar has for a changed file.
    const sudo = `echo "${words.replaceAll('"', '\\"')}" >&2; exit 1`;
    const reading = expect.stringMatching(meaning) as string;
    expect(readBy(sudo, 'tar')).toEqual({ ...whole, failure: reading });
    const measured = readBy(sudo) as { failure: string };
    expect(measured.failure).toMatch(meaning);
    expect(measured.failure).toMatch(
      /contains .*a\/closed, which only root can read, and .*-x dom0/,
    );
  });

  it('are missing if there is no sudo: an error says so', () => {
    leaveClosedFile();
    expect(readBy('exec no-such-sudo', 'tar')).toMatchObject({
      failure: expect.stringMatching(/no-such-sudo/) as string,
    });
  });

  it('that are lost while tar runs are an error, whatever the exit status', () => {
    leaveClosedFile();
    writeFileSync(join(home, 'zeros'), Buffer.alloc(3_000_000));
    // The output ends with zeros, as a complete tar does: only reading it shows that it was cut short.
    for (const status of [0, 1]) {
      const failure = expect.stringMatching(/cannot be read: .*closed.*denied|too early/) as string;
      const sudo = `shift 2; "$@" | head -c 1024000; exit ${status}`;
      expect(readBy(sudo, 'tar')).toEqual({ ...whole, failure });
    }
  });
});
