// The programs, and how esbuild makes each of one entry file and all that it imports.
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

/**
 * V8 would begin to mark its whole heap, on all cores, for every few megabytes of buffers that are older than a minor
 * collection: in a restore that took a fifth of the processor time. And what is young would take up to 48 MB, for data that
 * lives in buffers outside. Once V8 runs, this must not be changed any more.
 */
const NODE_OPTIONS = '--no-incremental-marking --max-semi-space-size=2';

/**
 * To a shell, the program's first lines are a script that starts it with Node.js; to Node.js, they are a
 * string and a comment.
 */
const START_BY_SHELL = `#!/bin/sh
':' /*
${readFileSync(path.join(root, 'tools/build/start.sh'), 'utf8')}exec node ${NODE_OPTIONS} "$0" "$@"
*/`;

export const PROGRAMS = [
  {
    name: 'coffer-vm-agent',
    entry: 'vm-agent/main.ts',
    target: 'node18',
    minify: true,
    start: '#!/usr/bin/env node',
  },
  // Readable, so that it can be audited where it runs.
  {
    name: 'coffer',
    entry: 'dom0-agent/cli/main.ts',
    target: 'node20',
    minify: false,
    start: START_BY_SHELL,
  },
  // The windows: GNOME's JavaScript runs them, whose engine is Firefox's.
  {
    name: 'coffer-gui',
    entry: 'dom0-agent/gui/main.ts',
    target: 'firefox102',
    minify: false,
    start: '#!/usr/bin/gjs -m',
    isForGjs: true,
  },
];

/** A table of xmldom's for HTML only, which takes some 13 ms to make at each start that reads XML. */
const HTML_ENTITIES = /^exports\.HTML_ENTITIES = freeze\(\{$[^]*?^\}\);$/m;

const withoutHtmlEntities = {
  name: 'without-html-entities',
  setup({ onLoad }) {
    onLoad({ filter: /\/@xmldom\/xmldom\/lib\/entities\.js$/ }, async ({ path: file }) => {
      const whole = await readFile(file, 'utf8');
      if (!HTML_ENTITIES.test(whole))
        throw new Error(`${file}: the entities of HTML are elsewhere`);
      const alias = 'exports.HTML_ENTITIES = exports.XML_ENTITIES;';
      return { contents: whole.replace(HTML_ENTITIES, alias) };
    });
  },
};

// CommonJS: a file without an extension is that to Node, and it starts fastest.
const FOR_NODE = { platform: 'node', format: 'cjs' };
const FOR_GJS = {
  platform: 'neutral',
  format: 'esm',
  external: ['gi://*', 'gettext', 'system'],
};

/** esbuild's options for a program, but for where it goes. */
export function bundleOptions({ entry, target, minify, start, isForGjs = false }) {
  return {
    absWorkingDir: root,
    entryPoints: [entry],
    bundle: true,
    ...(isForGjs ? FOR_GJS : FOR_NODE),
    target,
    minify,
    define: { COFFER_VERSION: JSON.stringify(version) },
    banner: { js: start },
    // protobufjs asks for it and does well without: see protocol/protobuf.ts.
    alias: { long: './tools/build/nothing.cjs' },
    // recover.sh and its page: dom0-agent/backup/recovery-kit.ts.
    loader: { '.sh': 'text', '.md': 'text' },
    logLevel: 'warning',
    plugins: [withoutHtmlEntities],
  };
}
