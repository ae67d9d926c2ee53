// Builds the self-contained programs in dist/: coffer, coffer-vm-agent and recover.sh, or those that
// are named; the windows with their translations. A program that is newer than all sources is left alone.
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
  // A program may be running, or be built twice at once: it is replaced as a whole.
  const outfile = `${file}.${process.pid}`;
  await build({ ...bundleOptions(program), outfile });
  chmodSync(outfile, 0o755);
  renameSync(outfile, file);
  console.log(`dist/${program.name}: ${Math.ceil(statSync(file).size / 1000)} kB`);
}

/** When a file, or anything in a folder, was last modified. */
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
// Only here: elsewhere no package.json stands above the programs, and CommonJS is the default. A program that
// starts just now reads it: it is never there in part.
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
