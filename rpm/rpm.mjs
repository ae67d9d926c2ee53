// Builds the RPMs and the source RPM: `node rpm/rpm.mjs [--out DIR]`, by default into
// dist/rpm. rpmbuild runs without a network. Then the source RPM is built again in another directory, and must give
// exactly the same files.
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { latestRelease, sourceDateEpoch } from './changelog.mjs';
import { PROGRAM_PACKAGES } from './npm-closure.mjs';
import { rpmSpec } from './rpm-spec.mjs';
import { npmFiles, ownFiles, writeSourceTar } from './source-tar.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** The npm packages that the build and %check need in addition to those of the programs. */
const TOOLS = ['esbuild', 'protobufjs-cli', 'gettext-parser', 'vitest', 'fast-check'];

/** RPM macros for what would otherwise make packages from the same sources differ. */
const REPRODUCIBLE = {
  _buildhost: 'reproducible',
  use_source_date_epoch_as_buildtime: '1',
  clamp_mtime_to_source_date_epoch: '1',
  _binary_payload: 'w19.zstdio',
  _source_payload: 'w3.zstdio',
};

/** Runs rpmbuild without a network, and returns the paths of the packages that it has built. */
function rpmbuild(topdir, words) {
  const command = [
    ...['unshare', '--net', ...(process.getuid() === 0 ? [] : ['--map-root-user'])],
    'rpmbuild',
    // On Debian, rpm does not know what is installed.
    ...(existsSync('/etc/debian_version') ? ['--nodeps'] : []),
    ...Object.entries({ ...REPRODUCIBLE, _topdir: topdir }).flatMap(([name, value]) => [
      '--define',
      `${name} ${value}`,
    ]),
    ...words,
  ];
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(sourceDateEpoch()) };
  run(command, env);
  return readdirSync(topdir, { recursive: true })
    .filter((file) => /^S?RPMS\/.*\.rpm$/.test(file))
    .sort()
    .map((file) => path.join(topdir, file));
}

function run([program, ...words], env) {
  try {
    execFileSync(program, words, { env, stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 2 ** 28 });
  } catch (error) {
    process.stderr.write(`${error.stdout}${error.stderr}`);
    throw new Error(`rpmbuild failed (${error.message.split('\n')[0]}): its output is above`);
  }
}

/** Builds the source RPM of this tree, and returns its path. */
async function buildSource(topdir) {
  const sources = path.join(topdir, 'SOURCES');
  mkdirSync(sources, { recursive: true });
  const name = `qubes-coffer-${latestRelease().version}`;
  const epoch = sourceDateEpoch();
  const own = path.join(sources, `${name}.tar.gz`);
  writeSourceTar(own, name, ownFiles(), epoch);
  const npm = path.join(sources, `${name}-npm.tar.gz`);
  writeSourceTar(npm, '.', npmFiles([...PROGRAM_PACKAGES, ...TOOLS]), epoch);
  const spec = path.join(topdir, 'qubes-coffer.spec');
  writeFileSync(spec, await rpmSpec());
  for (const file of [own, npm, spec]) utimesSync(file, epoch, epoch);
  const [source] = rpmbuild(topdir, ['-bs', spec]);
  return source;
}

/** Builds the source RPM again, in another directory and later. Throws if the packages are not the same. */
function requireSameAgain(packages, source, topdir) {
  const again = rpmbuild(topdir, ['--rebuild', '--nocheck', source]);
  for (const [index, file] of packages.entries()) {
    if (!readFileSync(file).equals(readFileSync(again[index]))) {
      throw new Error(`${path.basename(file)} is not the same when it is built a second time`);
    }
  }
}

const { values: flags } = parseArgs({
  options: {
    out: { type: 'string', default: path.join(root, 'dist/rpm') },
  },
});
const scratch = mkdtempSync(path.join(tmpdir(), 'coffer-rpm-'));
try {
  const source = await buildSource(path.join(scratch, 'source'));
  const packages = rpmbuild(path.join(scratch, 'first'), ['--rebuild', source]);
  requireSameAgain(packages, source, path.join(scratch, 'second'));
  rmSync(flags.out, { recursive: true, force: true });
  mkdirSync(flags.out, { recursive: true });
  for (const file of [...packages, source]) {
    const target = path.join(flags.out, path.basename(file));
    copyFileSync(file, target);
    console.log(path.relative('', target));
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
