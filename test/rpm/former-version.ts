import { execFileSync } from 'node:child_process';
import { appendFileSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Root } from './root.ts';

/**
 * Makes packages of a fictitious previous version, 0.0.9: the same files, each with one line more,
 * and in each package a file that the new version does not have. Returns their paths.
 *
 * @param packages the built ones, and their source package
 * @param scratch an empty directory
 */
export function makeFormerVersion(
  packages: readonly string[],
  source: string,
  scratch: string,
): string[] {
  using tree = new Root();
  tree.rpm('--install', '--noscripts', ...packages);
  rmSync(path.join(tree.path, 'var'), { recursive: true });
  for (const entry of readdirSync(tree.path, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) appendFileSync(path.join(entry.parentPath, entry.name), '# former\n');
  }
  for (const name of ['dom0', 'gui', 'vm']) {
    writeFileSync(path.join(tree.path, `usr/share/coffer/former-${name}`), 'no longer there\n');
  }
  const topdir = ['--define', `_topdir ${scratch}`];
  execFileSync('rpm', [...topdir, '--nodeps', '--nosignature', '--install', source], {
    stdio: 'pipe',
  });
  const spec = path.join(scratch, 'SPECS/qubes-coffer.spec');
  writeFileSync(spec, formerSpec(readFileSync(spec, 'utf8'), tree.path));
  execFileSync('rpmbuild', [...topdir, '--nodeps', '-bb', spec], { stdio: 'pipe' });
  const built = path.join(scratch, 'RPMS/noarch');
  return readdirSync(built).map((file) => path.join(built, file));
}

/** Changes a spec file to package the existing files below `tree` as version 0.0.9. */
function formerSpec(spec: string, tree: string): string {
  return spec
    .replace(/^Version:.*$/m, 'Version: 0.0.9')
    .replace(/^Source.*\n/gm, '')
    .replace(/^%prep[^]*?(?=^%preun)/m, `%install\ncp -a '${tree}'/. %{buildroot}\n\n`)
    .replace(/^%files (\w+)$/gm, '%files $1\n/usr/share/coffer/former-$1')
    .replace(/^%changelog[^]*/m, '');
}
