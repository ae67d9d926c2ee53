import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { AS_ROOT } from '../other-user.ts';

/** The programs that the installed ones, and the scripts of the packages, use. */
const PROGRAMS = [
  ...[
    'bash',
    'cat',
    'env',
    'getent',
    'grep',
    'id',
    'node',
    'rm',
    'setpriv',
    'sh',
    'stdbuf',
    'systemctl',
    'tar',
    'zstd',
  ],
];

/** A library of coreutils, which `stdbuf` loads into the program that it runs. */
const STDBUF_LIBRARY = '/usr/libexec/coreutils/libstdbuf.so';

/** A directory that stands for the file system of a machine, at first with only what packages need. */
export class Root implements Disposable {
  readonly path = mkdtempSync(path.join(tmpdir(), 'coffer-root-'));

  /** Copies a shell, Node.js and the other dependencies of the packages from this machine. */
  populate(): void {
    for (const directory of ['usr/bin', 'dev', 'proc', 'tmp', 'etc', 'home/user']) {
      mkdirSync(path.join(this.path, directory), { recursive: true });
    }
    symlinkSync('usr/bin', path.join(this.path, 'bin'));
    for (const name of PROGRAMS) {
      const program = execFileSync('sh', ['-c', `readlink -f "$(command -v ${name})"`]);
      this.#copyProgram(program.toString().trim(), `/usr/bin/${name}`);
    }
    this.#copyProgram(STDBUF_LIBRARY, STDBUF_LIBRARY);
    // A package's script that prints to /dev/null must not create it.
    writeFileSync(path.join(this.path, 'dev/null'), '');
    const users = 'root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n';
    writeFileSync(path.join(this.path, 'etc/passwd'), users);
    writeFileSync(path.join(this.path, 'etc/group'), 'root:x:0:\nqubes:x:98:user\nuser:x:1000:\n');
  }

  #copyProgram(from: string, to: string): void {
    mkdirSync(path.join(this.path, path.dirname(to)), { recursive: true });
    copyFileSync(from, path.join(this.path, to));
    for (const library of librariesOf(from)) {
      mkdirSync(path.join(this.path, path.dirname(library)), { recursive: true });
      copyFileSync(library, path.join(this.path, library));
    }
  }

  /** The words that run a program in here, as root. `mounts`: files or directories of this machine, by mount point. */
  inside(words: readonly string[], mounts: Readonly<Record<string, string>> = {}): string[] {
    const binds = Object.entries({ '/dev': '/dev', '/proc': '/proc', ...mounts }).map(
      ([target, source]) => `mount --rbind '${source}' '${this.path}${target}'`,
    );
    const script = [...binds, `exec chroot '${this.path}' "$@"`].join(' && ');
    return [...AS_ROOT, 'sh', '-c', script, 'sh', ...words];
  }

  /** Runs a program in here, and returns its output. Throws if it fails. */
  run(words: readonly string[], mounts?: Readonly<Record<string, string>>): string {
    return execute(this.inside(words, mounts));
  }

  rpm(...words: string[]): string {
    // The dependencies of the packages are not in this RPM database, as they come from Debian.
    const nodeps = words.includes('--query') ? [] : ['--nodeps'];
    const place = ['--root', this.path, '--dbpath', '/var/lib/rpm', '--nosignature'];
    return execute([...AS_ROOT, 'rpm', ...place, ...nodeps, ...words]);
  }

  dpkg(...words: string[]): string {
    mkdirSync(path.join(this.path, 'var/lib/dpkg/updates'), { recursive: true });
    mkdirSync(path.join(this.path, 'var/lib/dpkg/info'), { recursive: true });
    execFileSync('touch', [path.join(this.path, 'var/lib/dpkg/status')]);
    return execute([...AS_ROOT, 'dpkg', `--root=${this.path}`, '--force-depends', ...words]);
  }

  /** All files below, with mode and owner, such as `-rw-r--r-- root root /etc/passwd`, except the RPM database. */
  list(): string[] {
    const skipped = ['rpm', 'dpkg'].map((name) => `./var/lib/${name}`).join(' -o -path ');
    const find = `cd '${this.path}' && find . -mindepth 1 \\( -path ${skipped} \\) -prune -o -printf '%M %u %g /%P\\n'`;
    const lines = execute([...AS_ROOT, 'sh', '-c', find]).split('\n');
    return lines.filter((line) => line !== '' && !/ \/(var|var\/lib|var\/log.*)$/.test(line));
  }

  read(file: string): string {
    return readFileSync(path.join(this.path, file), 'utf8');
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function execute([program = '', ...words]: readonly string[]): string {
  return execFileSync(program, words, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
  });
}

function librariesOf(program: string): string[] {
  const listed = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...listed.matchAll(/(\/\S+) \(0x/g)].flatMap(([, library]) => library ?? []);
}
