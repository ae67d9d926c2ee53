// Lists the npm packages that are bundled into each program, with their licences: dist/licenses/{dom0,vm}.txt.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { generateProtocol } from '../tools/build/generate-protocol.mjs';
import { PROGRAMS, bundleOptions } from '../tools/build/programs.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const PROGRAM_OF = { dom0: 'coffer', vm: 'coffer-vm-agent' };

/**
 * The npm packages in the program of our package `dom0` or `vm`, sorted by name: { name, version, license,
 * directory } for each.
 */
export async function bundledPackages(ours) {
  generateProtocol();
  const program = PROGRAMS.find(({ name }) => name === PROGRAM_OF[ours]);
  const { metafile } = await build({ ...bundleOptions(program), write: false, metafile: true });
  const [output] = Object.values(metafile.outputs);
  const used = Object.entries(output.inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  const directories = new Set(used.flatMap(([file]) => packageDirectory(file)));
  return [...directories].map(describe).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function packageDirectory(file) {
  const found = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file);
  return found === null ? [] : [found[0]];
}

function describe(directory) {
  const { name, version, license } = JSON.parse(
    readFileSync(path.join(root, directory, 'package.json'), 'utf8'),
  );
  if (typeof license !== 'string') throw new Error(`${name} does not say its licence`);
  return { name, version, license, directory };
}

function licenceText({ name, version, license, directory }) {
  const heading = `${name} ${version}: ${license}`;
  const files = readdirSync(path.join(root, directory)).filter((file) => /^licen[cs]e/i.test(file));
  const texts = files.map((file) => readFileSync(path.join(root, directory, file), 'utf8').trim());
  if (texts.length === 0) texts.push('(The package holds no text of its licence.)');
  return `${heading}\n${'='.repeat(heading.length)}\n\n${texts.join('\n\n')}\n`.replaceAll(
    '\r',
    '',
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const directory = path.join(root, 'dist/licenses');
  mkdirSync(directory, { recursive: true });
  for (const ours of Object.keys(PROGRAM_OF)) {
    const packages = await bundledPackages(ours);
    writeFileSync(
      path.join(directory, `${ours}.txt`),
      `The npm packages that are bundled into the program, and their licences.\n\n${packages
        .map(licenceText)
        .join('\n\n')}`,
    );
  }
}
