// The sources of the source RPM: our own, and the npm packages that the build needs.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { npmClosure } from './npm-closure.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/**
 * Packs files of this tree. What comes out depends on their names and contents only.
 *
 * @param target `…tar.gz`
 * @param prefix the directory in the tar that they are put into
 * @param epoch the time of all of them, in seconds
 */
export function writeSourceTar(target, prefix, files, epoch) {
  const tar = execFileSync(
    'tar',
    [
      ...['--create', '--use-compress-program=gzip -6n', '--no-recursion', '--format=posix'],
      ...['--pax-option=delete=atime,delete=ctime', `--mtime=@${epoch}`, '--mode=u=rwX,go=rX'],
      ...['--owner=0', '--group=0', '--numeric-owner', `--transform=flags=r;s,^,${prefix}/,`],
      ...['--null', '--files-from=-'],
    ],
    { cwd: root, input: files.join('\0'), maxBuffer: 2 ** 29 },
  );
  writeFileSync(target, tar);
}

/** What git has, or would have with `git add`: all but what it ignores. */
export function ownFiles() {
  const list = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const files = execFileSync('git', list, { cwd: root, encoding: 'utf8' }).split('\0');
  return files.filter((file) => file !== '' && existsSync(path.join(root, file))).sort();
}

/** The files of the named npm packages and of all that they depend on. */
export function npmFiles(names) {
  return npmClosure(names).flatMap((directory) =>
    readdirSync(path.join(root, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
      // Packages within packages are on the list themselves, if they are needed.
      .filter((file) => !file.includes('/node_modules/', directory.length))
      .sort(),
  );
}
