// Builds the Debian packages of the VM agent from the same staged files as the RPMs:
// `node rpm/deb.mjs [--out DIR]`, by default into dist/deb. The build is reproducible.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { latestRelease, releases, sourceDateEpoch } from './changelog.mjs';
import { PACKAGER, PROJECT_URL } from './packager.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
/** The packages: their names in stage.sh and in Debian, and the templates of their control files. */
const PACKAGES = [
  { staged: 'vm', name: 'qubes-coffer-vm', control: 'control' },
  { staged: 'vm-prune', name: 'qubes-coffer-vm-prune', control: 'control-prune' },
];
const env = { ...process.env, SOURCE_DATE_EPOCH: String(sourceDateEpoch()) };

function run(program, ...words) {
  execFileSync(program, words, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
}

/** The regular files below a directory, sorted. */
function filesBelow(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name)))
    .sort();
}

function fill(template, values) {
  const text = readFileSync(path.join(root, 'rpm/deb', template), 'utf8');
  return text.replace(/@([A-Z]+)@/g, (_, name) => values[name]);
}

/** Lines of at most 76 characters. */
function wrapped(text) {
  return text.match(/.{1,76}(?: |$)/g).map((line) => line.trimEnd());
}

function debianChangelog(name) {
  const entries = releases().map(({ version, date, changes }) => {
    const day = new Date(`${date}T12:00:00Z`).toUTCString().replace('GMT', '+0000');
    const lines = changes
      .map((change) => wrapped(change).join('\n    '))
      .map((text) => `  * ${text}`);
    return `${name} (${version}) unstable; urgency=medium\n\n${lines.join('\n')}\n\n -- ${PACKAGER}  ${day}\n`;
  });
  return entries.join('\n');
}

/** Moves or adds the files that Debian has in other places than Fedora. */
function toDebian(tree, name) {
  const doc = path.join(tree, 'usr/share/doc', name);
  const licences = path.join(tree, 'usr/share/licenses');
  const bundled = 'bundled-npm-packages.txt';
  const list = path.join(licences, name, bundled);
  if (existsSync(list)) renameSync(list, path.join(doc, bundled));
  rmSync(licences, { recursive: true });
  rmSync(path.join(doc, 'CHANGELOG.md'));
  writeFileSync(path.join(doc, 'changelog.gz'), gzipSync(debianChangelog(name), { level: 9 }));
  writeFileSync(path.join(doc, 'copyright'), fill('copyright', { URL: PROJECT_URL }));
}

/** Writes DEBIAN/: the control file, the list of configuration files, and the checksums. */
function writeControl(tree, control) {
  const files = filesBelow(tree);
  const contents = files.map((file) => readFileSync(path.join(tree, file)));
  const kilobytes = contents.reduce((sum, { length }) => sum + Math.ceil(length / 1024), 0);
  const sums = files.map((file, index) => {
    return `${createHash('md5').update(contents[index]).digest('hex')}  ${file}\n`;
  });
  const conffiles = files.filter((file) => file.startsWith('etc/')).map((file) => `/${file}\n`);
  const values = { VERSION: latestRelease().version, PACKAGER, URL: PROJECT_URL, SIZE: kilobytes };
  const debian = path.join(tree, 'DEBIAN');
  mkdirSync(debian);
  writeFileSync(path.join(debian, 'control'), fill(control, values));
  writeFileSync(path.join(debian, 'conffiles'), conffiles.join(''));
  writeFileSync(path.join(debian, 'md5sums'), sums.join(''));
}

/** Stages one package, and builds it. */
function buildPackage({ staged, name, control }, out) {
  const tree = mkdtempSync(path.join(tmpdir(), 'coffer-deb-'));
  chmodSync(tree, 0o755);
  try {
    run('sh', 'rpm/stage.sh', staged, tree);
    toDebian(tree, name);
    writeControl(tree, control);
    run('find', tree, '-exec', 'touch', '-h', '-d', `@${env.SOURCE_DATE_EPOCH}`, '{}', '+');
    const file = path.join(out, `${name}_${latestRelease().version}_all.deb`);
    run('dpkg-deb', '--build', '--root-owner-group', '-Zxz', tree, file);
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

const { values: flags } = parseArgs({
  options: { out: { type: 'string', default: path.join(root, 'dist/deb') } },
});
process.umask(0o022);
for (const script of ['tools/build/build', 'rpm/bundled-packages', 'rpm/manual']) {
  run(process.execPath, `${script}.mjs`);
}
mkdirSync(flags.out, { recursive: true });
for (const each of PACKAGES) buildPackage(each, flags.out);
