import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const beside = (name: string) => fileURLToPath(new URL(name, import.meta.url));

function writeScript(path: string, words: readonly string[]): string {
  const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
  writeFileSync(path, `#!/bin/sh\nexec ${quoted} "$@"\n`, { mode: 0o755 });
  return path;
}

/** Writes the import service into `directory`; returns its path. */
export function makeImportService(
  directory: string,
  socketPath: string,
  fullAfter?: number,
): string {
  const words = [
    process.execPath,
    beside('import-service.mjs'),
    socketPath,
    String(fullAfter ?? ''),
  ];
  return writeScript(join(directory, 'admin.vm.volume.ImportWithSize'), words);
}

export interface QrexecSettings {
  readonly socketPath: string;
  /** For each VM, its `/etc/qubes-rpc`. */
  readonly services: Readonly<Record<string, string>>;
  /** For each VM, its user's home. */
  readonly homes: Readonly<Record<string, string>>;
  /** The working directory of services; the home by default, but that of qrexec's fork server may differ. */
  readonly workingDirectory?: string;
  /** Every call is refused. */
  readonly refuse?: boolean;
  /** The service is killed after so many bytes. */
  readonly dieAfter?: number;
  /** The VM is killed after so many bytes. */
  readonly vmDiesAfter?: number;
}

/** Writes `qrexec-client` into `directory`; returns its path. */
export function makeQrexecClient(directory: string, settings: QrexecSettings): string {
  const settingsPath = join(directory, 'qrexec-client.json');
  writeFileSync(settingsPath, JSON.stringify(settings));
  const words = [process.execPath, beside('qrexec-client.mjs'), settingsPath];
  return writeScript(join(directory, 'qrexec-client'), words);
}

/** Writes `sudo` into `directory`; returns its path, and the commands that it has run so far. */
export function makeSudo(directory: string): { path: string; log: () => string } {
  const path = join(directory, 'sudo');
  copyFileSync(beside('sudo.sh'), path);
  return { path, log: () => readFileSync(join(directory, 'sudo.log'), 'utf8') };
}
