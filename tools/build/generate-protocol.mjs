// Generates protocol/generated/coffer.{js,d.ts} from protocol/coffer.proto. Does nothing if they are newer than that
// and this file.
import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const proto = path.join(root, 'protocol/coffer.proto');
const generated = path.join(root, 'protocol/generated/coffer.js');

function modified(file) {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

export function generateProtocol() {
  const types = generated.replace(/\.js$/, '.d.ts');
  const newest = Math.max(modified(proto), modified(fileURLToPath(import.meta.url)));
  if (Math.min(modified(generated), modified(types)) > newest) return;
  mkdirSync(path.dirname(generated), { recursive: true });
  execFileSync(
    process.execPath,
    [
      path.join(root, 'node_modules/protobufjs-cli/bin/pbjs'),
      ...['--target', 'static-module', '--wrap', 'esm', '--dts'],
      // 64-bit fields are numbers: see protocol/protobuf.ts.
      ...['--dependency', 'protobufjs/minimal.js', '--force-number'],
      // Only the functions that encode, decode, and convert to plain objects.
      ...['--no-verify', '--no-delimited', '--no-typeurl', '--no-service'],
      ...['--out', generated, proto],
    ],
    { stdio: 'inherit' },
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) generateProtocol();
