import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';

/** Removes a directory, also with directories in it that only root can remove files from. */
export function removeTree(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {
    execFileSync('chmod', ['-R', 'u+rwX', directory]);
    rmSync(directory, { recursive: true, force: true });
  }
}
