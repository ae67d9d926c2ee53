// The programs, and how esbuild makes each of one entry file and all that it imports.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

export const PROGRAMS = [
  { name: 'coffer-vm-agent', entry: 'vm-agent/main.ts', target: 'node18', minify: true },
  // Readable, so that it can be audited where it runs.
  { name: 'coffer', entry: 'dom0-agent/cli/main.ts', target: 'node20', minify: false },
];

/** esbuild's options for a program, but for where it goes. */
export function bundleOptions({ entry, target, minify }) {
  return {
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    platform: 'node',
    // CommonJS: a file without an extension is that to Node, and it starts fastest.
    format: 'cjs',
    target,
    minify,
    define: { COFFER_VERSION: JSON.stringify(version) },
    banner: { js: '#!/usr/bin/env node' },
    // protobufjs asks for it and does well without: see protocol/protobuf.ts.
    alias: { long: './scripts/nothing.cjs' },
    // recover.sh and its page: dom0-agent/backup/recovery-kit.ts.
    loader: { '.sh': 'text', '.md': 'text' },
    logLevel: 'warning',
  };
}
