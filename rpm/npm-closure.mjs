import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const locked = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8')).packages;

/** The names of the npm packages that coffer's programs depend on. */
export const PROGRAM_PACKAGES = Object.keys(locked[''].dependencies);

/**
 * The directories, relative to the root and sorted, of the named packages and everything that they depend on, according
 * to the lock file. Optional packages that npm did not install (those for other platforms) are left out. Throws if
 * another one is missing.
 */
export function npmClosure(names) {
  const found = new Set();
  const toVisit = names.map((name) => findPackage(name, ''));
  for (let directory = toVisit.pop(); directory !== undefined; directory = toVisit.pop()) {
    if (found.has(directory)) continue;
    found.add(directory);
    const { dependencies = {}, optionalDependencies = {} } = locked[directory];
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const needed = findPackage(name, directory);
      if (needed !== undefined) toVisit.push(needed);
      else if (!(name in optionalDependencies)) throw new Error(`${name} is missing: run npm ci`);
    }
  }
  return [...found].sort();
}

/** The directory in which Node finds a package that is required from the directory of another one. */
function findPackage(name, from) {
  const directory = path.posix.join(from, 'node_modules', name);
  if (directory in locked && existsSync(path.join(root, directory))) return directory;
  if (from === '') return undefined;
  return findPackage(name, from.slice(0, Math.max(from.lastIndexOf('node_modules/') - 1, 0)));
}
