// Builds the self-contained programs in dist/: coffer, coffer-vm-agent, and coffer-gui with its translations, or only
// those that are named; and copies the scripts. A program that is newer than all sources is left alone.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateProtocol } from './generate-protocol.mjs';
import { PROGRAMS, bundleOptions } from './programs.mjs';
import { compileTranslations } from './translations.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const SOURCES = [
  'dom0-agent',
  'protocol',
  'shared',
  'storage',
  'vm-agent',
  'po',
  'tools/build',
  'package.json',
  'package-lock.json',
  'recover.sh',
  'docs/recovery.md',
];

async function bundle(program) {
  const { build } = await import('esbuild');
  const file = path.join(root, 'dist', program.name);
  // The program may be running, or two builds may run at once, so it is replaced atomically.
  const outfile = `${file}.${process.pid}`;
  await build({ ...bundleOptions(program), outfile });
  chmodSync(outfile, 0o755);
  renameSync(outfile, file);
  console.log(`dist/${program.name}: ${Math.ceil(statSync(file).size / 1000)} kB`);
}

/** When a file, or anything in a directory, was last modified: ms since 1970; 0 if it does not exist. */
function newest(file) {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (!stats?.isDirectory()) return stats?.mtimeMs ?? 0;
  return Math.max(
    stats.mtimeMs,
    ...readdirSync(file).map((entry) => newest(path.join(file, entry))),
  );
}

generateProtocol();
mkdirSync(path.join(root, 'dist'), { recursive: true });
// Only needed here, below this project's package.json: where the programs are installed, CommonJS is the default. A
// program that is being started reads this file, so it is replaced atomically.
const packageJson = path.join(root, 'dist/package.json');
writeFileSync(`${packageJson}.${process.pid}`, '{ "type": "commonjs" }\n');
renameSync(`${packageJson}.${process.pid}`, packageJson);
const sources = Math.max(...SOURCES.map((source) => newest(path.join(root, source))));
const wanted = process.argv.slice(2);
for (const program of PROGRAMS) {
  if (wanted.length > 0 && !wanted.includes(program.name)) continue;
  if (!existsSync(path.join(root, program.entry))) {
    console.log(`dist/${program.name}: not built, there is no ${program.entry} yet`);
  } else if (newest(path.join(root, 'dist', program.name)) <= sources) {
    await bundle(program);
    if (program.isForGjs === true) await compileTranslations(root);
  }
}

for (const script of ['recover.sh', 'through/coffer-rclone', 'through/coffer-ssh']) {
  const source = path.join(root, script === 'recover.sh' ? '' : 'vm-agent', script);
  const target = path.join(root, 'dist', script);
  if (!existsSync(source) || newest(target) > newest(source)) continue;
  mkdirSync(path.dirname(target), { recursive: true });
  copyFileSync(source, `${target}.${process.pid}`);
  chmodSync(`${target}.${process.pid}`, 0o755);
  renameSync(`${target}.${process.pid}`, target);
}
