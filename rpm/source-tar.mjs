// The sources in the source RPM: our own, and the npm packages that the build needs.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { npmClosure } from './npm-closure.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/**
 * Packs files of this tree. The result only depends on the arguments and the contents of the files.
 *
 * @param target the path of the `.tar.gz` to write
 * @param prefix the directory in the tar that the files are put into
 * @param files paths relative to the root
 * @param epoch the modification time of all files, in seconds since 1970
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

/** The paths of all files in the tree that git does not ignore. */
export function ownFiles() {
  const list = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const files = execFileSync('git', list, { cwd: root, encoding: 'utf8' }).split('\0');
  return files.filter((file) => file !== '' && existsSync(path.join(root, file))).sort();
}

/** The paths of the files of the named npm packages and of everything that they depend on. */
export function npmFiles(names) {
  return npmClosure(names).flatMap((directory) =>
    readdirSync(path.join(root, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
      // Packages within packages are in the closure themselves, if they are needed.
      .filter((file) => !file.includes('/node_modules/', directory.length))
      .sort(),
  );
}
