import { execFile, execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { madeOnce } from '../test-run.ts';

export const repository = fileURLToPath(new URL('../..', import.meta.url));

/** The version of the packages. */
export const { version } = JSON.parse(
  readFileSync(path.join(repository, 'package.json'), 'utf8'),
) as { version: string };

export interface Rpms {
  readonly dom0: string;
  readonly gui: string;
  readonly vm: string;
  readonly vmPrune: string;
  readonly source: string;
}

/**
 * Builds the RPMs without a network, with %check, and twice: it fails if the second build has other bytes. They are
 * built once in a run of the tests, into a directory that contains nothing else.
 */
export async function builtRpms(): Promise<Rpms> {
  const directory = await madeOnce('rpms', (partial) => runScript('rpm/rpm.mjs', '--out', partial));
  const inDirectory = (file: string): string => path.join(directory, file);
  return {
    dom0: inDirectory(`qubes-coffer-dom0-${version}-1.noarch.rpm`),
    gui: inDirectory(`qubes-coffer-gui-${version}-1.noarch.rpm`),
    vm: inDirectory(`qubes-coffer-vm-${version}-1.noarch.rpm`),
    vmPrune: inDirectory(`qubes-coffer-vm-prune-${version}-1.noarch.rpm`),
    source: inDirectory(`qubes-coffer-${version}-1.src.rpm`),
  };
}

/** Builds the Debian packages into `directory`; returns their paths. */
export async function buildDebs(directory: string): Promise<{ vm: string; vmPrune: string }> {
  await runScript('rpm/deb.mjs', '--out', directory);
  const deb = (name: string): string => path.join(directory, `${name}_${version}_all.deb`);
  return { vm: deb('qubes-coffer-vm'), vmPrune: deb('qubes-coffer-vm-prune') };
}

async function runScript(script: string, ...words: string[]): Promise<void> {
  await promisify(execFile)(process.execPath, [path.join(repository, script), ...words]);
}

/** The commands that `coffer --help` shows. */
export function commandsOfCoffer(): string[] {
  const help = execFileSync(path.join(repository, 'dist/coffer'), ['--help'], { encoding: 'utf8' });
  const [, commands = ''] = help.split('\nCommands:\n');
  return [...commands.matchAll(/^ {2}([a-z][a-z-]*)/gm)].map(([, command = '']) => command);
}
