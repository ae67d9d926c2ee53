import { fileURLToPath } from 'node:url';
import type { Command } from './measure.ts';
import { STORAGE_VM } from './systems.ts';

const DIST = new URL('../../dist/', import.meta.url);
export const COFFER = fileURLToPath(new URL('coffer', DIST));
export const VM_AGENT = fileURLToPath(new URL('coffer-vm-agent', DIST));

/** What all jobs of a benchmark share. */
export interface Setting {
  /** A file with the passphrase in its first line. */
  readonly passphraseFile: string;
}

/** `coffer COMMAND` on the folder system in the directory `system`, with an archive in its storage VM. */
export function coffer(
  { passphraseFile }: Setting,
  system: string,
  [command = '', ...args]: readonly string[],
): Command {
  const common = ['--system', system, '-q', '-d', STORAGE_VM, '-p', passphraseFile];
  return { argv: [COFFER, command, ...common, ...args] };
}

/**
 * `coffer backup` of `qubes` to `backups` in the storage VM. The backup is not read back, since the references do not
 * do that either.
 */
export function cofferBackup(
  setting: Setting,
  system: string,
  qubes: readonly string[],
  options: readonly string[] = [],
): Command {
  return coffer(setting, system, ['backup', '-y', '--no-check', ...options, 'backups', ...qubes]);
}
