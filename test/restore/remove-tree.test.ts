import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildSync } from 'esbuild';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import { giveToOtherUser, nodeIn, otherUser } from '../other-user.ts';
import { removeTree } from '../remove-tree.ts';

let directory: string;
let tree: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'coffer-remove-'));
  onTestFinished(() => removeTree(directory));
  chmodSync(directory, 0o755);
  const home = join(directory, 'home');
  mkdirSync(home);
  tree = join(home, 'tree');
  if (otherUser.uid !== undefined) chownSync(home, otherUser.uid, otherUser.gid);
});

/** Runs `code` as an ordinary user with the given sudo; returns its output. */
function asUser(code: string, sudo = 'echo "sudo: a password is required" >&2; exit 1'): string {
  const bundle = join(directory, 'code.mjs');
  const sources = fileURLToPath(new URL('../../dom0-agent/restore/', import.meta.url));
  buildSync({
    stdin: { contents: code, loader: 'ts', resolveDir: sources },
    ...{ outfile: bundle, bundle: true, platform: 'node', format: 'esm', target: 'node20' },
  });
  writeFileSync(join(directory, 'sudo'), `#!/bin/sh\n${sudo}\n`, { mode: 0o755 });
  const env = { PATH: `${directory}:/usr/bin:/bin` };
  const run = spawnSync(nodeIn(directory), [bundle, tree], { ...otherUser, encoding: 'utf8', env });
  expect(run.stderr).toBe('');
  return run.stdout;
}

const REMOVE = `
  import { removeTree } from './remove-tree.ts';
  await removeTree(process.argv[2] ?? '').catch((error) => console.log(error.message));
`;

const outside = (): string => join(tree, '../outside');

/** A tree like Go's module cache, and worse. */
function makeReadOnlyTree(): void {
  mkdirSync(join(tree, 'go/mod/deep'), { recursive: true });
  writeFileSync(join(tree, 'go/mod/deep/file'), 'x', { mode: 0o400 });
  writeFileSync(join(tree, 'new\nline'), 'x');
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.of(0xe4)]), 'not UTF-8');
  mkdirSync(outside());
  symlinkSync('../outside', join(tree, 'link'));
  for (const closed of ['go/mod/deep', 'go', '../outside', '.'])
    chmodSync(join(tree, closed), 0o500);
  chmodSync(join(tree, 'go/mod'), 0);
  giveToOtherUser(tree, outside());
}

describe('a tree that is removed', () => {
  it('may contain directories that are read-only or closed', () => {
    makeReadOnlyTree();
    expect(asUser(REMOVE)).toBe('');
    expect(existsSync(tree)).toBe(false);
  });

  it('is removed without the targets of its links', () => {
    makeReadOnlyTree();
    asUser(REMOVE);
    expect(statSync(outside()).mode & 0o777).toBe(0o500);
  });

  it('need not exist', () => {
    expect(asUser(REMOVE)).toBe('');
  });

  it('is removed as root if only root can, or the error says why not', () => {
    makeReadOnlyTree();
    // A read-only parent has the same effect as a directory of another user.
    chmodSync(join(tree, '..'), 0o555);
    expect(asUser(REMOVE)).toMatch(
      /tree cannot be removed \(.*; rm cannot be run as root: sudo asks/,
    );
    expect(asUser(REMOVE, 'exit 0')).toMatch(/tree cannot be removed/);
    const log = join(directory, 'log');
    writeFileSync(log, '');
    chmodSync(log, 0o666);
    asUser(REMOVE, `printf '%s ' "$@" >${log}`);
    expect(readFileSync(log, 'utf8')).toBe(`-n -- rm -rf --one-file-system -- ${tree} `);
  });
});

describe('a partial home', () => {
  it('that cannot be removed only gives a warning', () => {
    makeReadOnlyTree();
    chmodSync(join(tree, '..'), 0o555);
    const said = asUser(`
      import { removePartialHome } from './remove-tree.ts';
      const rollbackFailed = (what, text) => console.log('warning:', text);
      await removePartialHome(process.argv[2] ?? '', { rollbackFailed, warning() {}, info() {}, progress() {} });
      console.log('continued');
    `);
    expect(said).toMatch(/^warning: .*left over: .*tree cannot be removed .*\ncontinued\n$/);
  });
});
