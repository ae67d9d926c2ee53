import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const SCRIPT = new URL('../../tools/setup.sh', import.meta.url).pathname;
/** Programs that every machine has. */
const ORDINARY = ['sh', 'cat', 'cksum', 'dirname', 'env', 'mkdir', 'paste', 'sort'];

interface Machine {
  /** Programs besides the ordinary ones. */
  readonly has: readonly string[];
  readonly user: 'root' | 'somebody';
  readonly node?: string;
}

/** A clone on a machine with few programs; the installers only record how they were called. */
class FreshClone implements Disposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'coffer-setup-'));
  readonly #calls = join(this.#directory, 'calls');

  constructor({ has, user, node = 'v20.0.0' }: Machine) {
    for (const directory of ['bin', 'clone', 'clone/tools']) {
      mkdirSync(join(this.#directory, directory));
    }
    copyFileSync(SCRIPT, join(this.#directory, 'clone/tools/setup.sh'));
    writeFileSync(join(this.#directory, 'clone/package-lock.json'), '{}');
    for (const program of ORDINARY) {
      const path = execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' });
      symlinkSync(path.trim(), join(this.#directory, 'bin', program));
    }
    this.#program('id', `echo ${user === 'root' ? 0 : 1000}`);
    this.#program('node', `[ "$1" = --version ] && echo ${node} || [ ${node} != v18.20.4 ]`);
    this.#program('npm', 'mkdir -p node_modules; echo "npm $*" >> "$CALLS"');
    for (const name of has) this.#program(name, `echo "${name} $*" >> "$CALLS"`);
  }

  setUp(purpose: string): { status: number | null; stderr: string; calls: string[] } {
    rmSync(this.#calls, { force: true });
    const { status, stderr } = spawnSync('/bin/sh', ['tools/setup.sh', purpose], {
      cwd: join(this.#directory, 'clone'),
      env: { PATH: join(this.#directory, 'bin'), CALLS: this.#calls },
      encoding: 'utf8',
    });
    const calls = existsSync(this.#calls) ? readFileSync(this.#calls, 'utf8') : '';
    return { status, stderr, calls: calls.split('\n').filter((line) => line !== '') };
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }

  #program(name: string, script: string): void {
    const path = join(this.#directory, 'bin', name);
    writeFileSync(path, `#!/bin/sh\n${script}\n`);
    chmodSync(path, 0o755);
  }
}

const NPM = 'npm ci --prefer-offline --no-audit --no-fund --loglevel=error';
const APT = 'apt-get install -y -qq --no-install-recommends';

const FOR_DEMO = ['gzip', 'zstd', 'mkfs.ext4'];

describe('tools/setup.sh', () => {
  it('installs only what is needed and missing', () => {
    using clone = new FreshClone({ has: ['apt-get', 'gzip', 'mkfs.ext4'], user: 'root' });
    const { status, calls } = clone.setUp('demo');
    expect(status).toBe(0);
    expect(calls).toEqual(['apt-get update -qq', `${APT} zstd`, NPM]);
  });

  it('installs with dnf if that is the installer', () => {
    using clone = new FreshClone({ has: ['dnf', 'gzip', 'mkfs.ext4'], user: 'root' });
    const { calls } = clone.setUp('demo');
    expect(calls).toEqual(['dnf install -y -q --setopt=install_weak_deps=False zstd', NPM]);
  });

  it('uses sudo if it is not run by root', () => {
    using clone = new FreshClone({ has: ['apt-get', 'sudo', ...FOR_DEMO], user: 'somebody' });
    const { status, calls } = clone.setUp('bench');
    expect(status).toBe(0);
    expect(calls.slice(0, 2)).toEqual([
      'sudo apt-get update -qq',
      `sudo env DEBIAN_FRONTEND=noninteractive ${APT} borgbackup openssl restic`,
    ]);
  });

  it('says in a sentence what to do if there is no sudo, and does nothing', () => {
    using clone = new FreshClone({ has: ['apt-get', 'gzip', 'mkfs.ext4'], user: 'somebody' });
    expect(clone.setUp('demo')).toEqual({
      status: 1,
      stderr:
        "setup: as root, run 'apt-get install zstd' first: you are not root, and there is no sudo here\n",
      calls: [],
    });
  });

  it('says in a sentence what to install if it finds no installer', () => {
    using clone = new FreshClone({ has: ['gzip', 'mkfs.ext4'], user: 'root' });
    const { status, stderr, calls } = clone.setUp('demo');
    expect({ status, calls }).toEqual({ status: 1, calls: [] });
    expect(stderr).toMatch(/^setup: install these first, .*: zstd\n$/);
  });

  it('says in a sentence that Node.js is too old', () => {
    using clone = new FreshClone({ has: FOR_DEMO, user: 'somebody', node: 'v18.20.4' });
    const { status, stderr, calls } = clone.setUp('demo');
    expect({ status, calls }).toEqual({ status: 1, calls: [] });
    expect(stderr).toMatch(/^setup: .*Node\.js 20 or newer: .* is v18\.20\.4\n$/);
  });

  it('needs only npm if the programs are there, and nothing the second time', () => {
    using clone = new FreshClone({ has: FOR_DEMO, user: 'somebody' });
    expect(clone.setUp('demo')).toEqual({ status: 0, stderr: '', calls: [NPM] });
    expect(clone.setUp('demo')).toEqual({ status: 0, stderr: '', calls: [] });
  });

  it('needs no programs for a build', () => {
    using clone = new FreshClone({ has: [], user: 'somebody' });
    expect(clone.setUp('build')).toEqual({ status: 0, stderr: '', calls: [NPM] });
  });

  it('installs no service with any package', () => {
    using clone = new FreshClone({ has: ['apt-get'], user: 'root' });
    const packages = ['test', 'bench'].flatMap((purpose) => {
      const install = clone.setUp(purpose).calls.find((call) => call.startsWith(APT)) ?? '';
      return install.slice(APT.length).trim().split(' ');
    });
    expect(packages).toContain('shellcheck');
    const withService = packages.filter((name) => SERVICE.test(filesOf(name)));
    expect(withService.filter((name) => !BASIC.includes(name))).toEqual([]);
  });
});

/** Packages of every ordinary Debian system. */
const BASIC = ['dpkg', 'e2fsprogs', 'procps', 'systemd', 'util-linux'];

const SERVICE = /^(\/etc\/init\.d|(\/usr)?\/lib\/systemd\/system)\/./m;

/** The files of a package of this machine, if it is Debian and has it. */
function filesOf(name: string): string {
  return spawnSync('dpkg-query', ['--listfiles', name], { encoding: 'utf8' }).stdout;
}
