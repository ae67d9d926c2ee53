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
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildSync } from 'esbuild';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { drain } from '../../dom0-agent/archive/drain.ts';
import { homeTar } from '../../dom0-agent/backup/dom0-home.ts';
import { restoreHome } from '../../dom0-agent/restore/dom0-home.ts';
import { FailedError, RefusedError } from '../../shared/errors.ts';
import { makeSudo } from '../qubesd/programs.ts';

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

/** Backs `home` up and restores it; gives where it is now. */
async function throughBackup(warn: (text: string) => void): Promise<string> {
  const target = join(directory, 'restored');
  await restoreHome(homeTar(home, NAME, warn, never), target, never);
  return target;
}

const noWarning = (text: string): void => expect.fail(text);

describe('dom0’s home', () => {
  it('keeps links as links, odd names, holes, times and modes', async () => {
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

    const restored = await throughBackup(noWarning);
    execFileSync('diff', ['--recursive', '--no-dereference', home, restored]);
    expect(readlinkSync(join(restored, 'a/up'))).toBe('../..');
    expect(statSync(join(restored, 'secret')).mode & 0o777).toBe(0o600);
    expect(statSync(join(restored, 'secret')).mtimeMs).toBe(statSync(join(home, 'secret')).mtimeMs);
    expect(statSync(join(restored, 'a/same')).ino).toBe(statSync(join(restored, 'secret')).ino);
    expect(statSync(join(restored, 'holes')).blocks).toBeLessThan(100);
    expect(statSync(restored).mode & 0o777).toBe(0o700);
  });

  it('leaves out sockets, and says so', async () => {
    const server = createServer().listen(join(home, 'sock\x1b[31met'));
    await new Promise((resolve) => server.once('listening', resolve));
    writeFileSync(join(home, 'letter'), 'x');
    const warnings: string[] = [];
    const restored = await throughBackup((text) => warnings.push(text)).finally(() =>
      server.close(),
    );
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^dom0's home: .*sock.*socket ignored$/);
    expect(warnings[0]).not.toContain('\x1b');
    expect(existsSync(join(restored, 'letter'))).toBe(true);
  });

  it('that does not exist is an error', async () => {
    const reading = drain(homeTar(join(directory, 'nosuch'), NAME, noWarning, never));
    await expect(reading).rejects.toThrow(FailedError);
  });

  it('ends when it is told to, though nobody reads', async () => {
    execFileSync('dd', ['if=/dev/zero', `of=${home}/large`, 'bs=1M', 'count=20', 'status=none']);
    const controller = new AbortController();
    const reading = async (): Promise<void> => {
      for await (const { length } of homeTar(home, NAME, noWarning, controller.signal)) {
        if (length > 0) controller.abort();
      }
    };
    await expect(reading()).rejects.toThrow();
  });

  it('is never put over what exists', async () => {
    const target = join(directory, 'restored');
    mkdirSync(target);
    writeFileSync(join(target, 'mine'), 'mine');
    const restoring = restoreHome(homeTar(home, NAME, noWarning, never), target, never);
    await expect(restoring).rejects.toThrow(RefusedError);
    expect(readFileSync(join(target, 'mine'), 'utf8')).toBe('mine');
  });

  it('that breaks off leaves nothing behind', async () => {
    writeFileSync(join(home, 'letter'), 'x'.repeat(1_000_000));
    async function* broken(): AsyncGenerator<Buffer> {
      for await (const chunk of homeTar(home, NAME, noWarning, never)) {
        yield chunk;
        throw new FailedError('the rest is lost');
      }
    }
    const target = join(directory, 'restored');
    await expect(restoreHome(broken(), target, never)).rejects.toThrow(/the rest is lost/);
    expect(existsSync(target)).toBe(false);
  });
});

/** Another user where the tests run as root, who may read everything; else the one who runs them. */
const other = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

describe('rights', () => {
  it('are those of the user whose home it is, even when root restores', async () => {
    writeFileSync(join(home, 'letter'), 'x');
    if (other.uid !== undefined) chownSync(directory, other.uid, other.gid);
    const { uid, gid } = lstatSync(directory);
    const restored = await throughBackup(noWarning);
    for (const path of [restored, join(restored, 'letter')]) {
      expect(lstatSync(path)).toMatchObject({ uid, gid });
    }
  });

  it('of root are asked for when the home holds what its user cannot read, and only then', () => {
    const bundle = join(directory, 'read-home.mjs');
    buildSync({
      entryPoints: [fileURLToPath(new URL('read-home.ts', import.meta.url))],
      ...{ outfile: bundle, bundle: true, platform: 'node', format: 'esm', target: 'node20' },
    });
    const sudo = makeSudo(directory);
    chmodSync(sudo.path, 0o755);
    writeFileSync(join(directory, 'sudo.log'), '');
    chmodSync(join(directory, 'sudo.log'), 0o666);
    const read = () =>
      spawnSync(process.execPath, [bundle, home], {
        ...other,
        encoding: 'buffer',
        env: { PATH: `${directory}:${process.env['PATH'] ?? ''}` },
      });
    writeFileSync(join(home, 'letter'), 'x');
    expect(read().status).toBe(0);
    expect(sudo.log()).toBe('');

    mkdirSync(join(home, 'a'));
    writeFileSync(join(home, 'a/closed'), 'x', { mode: 0 });
    // This sudo gives no rights, so the file stays closed: that is a failure, not a gap.
    const failed = read();
    expect(sudo.log()).toMatch(/^tar --create .* \.\n$/);
    expect(failed.status).not.toBe(0);
    expect(failed.stderr.toString()).toMatch(/home cannot be read whole: .*closed.*denied/);
  });
});
