// The programs, and how esbuild bundles each from its entry file and everything that it imports.
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const { version } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));

/**
 * Without the first option, V8 would mark its whole heap, on all cores, for every few megabytes of buffers that survive
 * a minor collection: a fifth of the processor time of a restore. Without the second one, its young generation would
 * take up to 48 MB, although the data is in buffers outside of the heap. Both can only be set before V8 starts.
 */
const NODE_OPTIONS = '--no-incremental-marking --max-semi-space-size=2';

/**
 * For a shell, the first lines of the program are a script that starts it with Node.js; for Node.js, they are a
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
  // Not minified, so that it can be audited where it runs.
  {
    name: 'coffer',
    entry: 'dom0-agent/cli/main.ts',
    target: 'node20',
    minify: false,
    start: START_BY_SHELL,
  },
  // The windows run on GNOME's JavaScript, whose engine is that of Firefox.
  {
    name: 'coffer-gui',
    entry: 'dom0-agent/gui/main.ts',
    target: 'firefox102',
    minify: false,
    start: '#!/usr/bin/gjs -m',
    isForGjs: true,
  },
];

/** A table in xmldom that is only used for HTML, and costs some 13 ms at each start that reads XML. */
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

// CommonJS, because Node takes a file without an extension for that, and because it starts fastest.
const FOR_NODE = { platform: 'node', format: 'cjs' };
const FOR_GJS = {
  platform: 'neutral',
  format: 'esm',
  external: ['gi://*', 'gettext', 'system'],
};

/** esbuild's options for a program, without the output file. */
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
    // protobufjs asks for this package, but does not need it: see protocol/protobuf.ts.
    alias: { long: './tools/build/nothing.cjs' },
    // recover.sh and its page: dom0-agent/backup/recovery-kit.ts.
    loader: { '.sh': 'text', '.md': 'text' },
    logLevel: 'warning',
    plugins: [withoutHtmlEntities],
  };
}
