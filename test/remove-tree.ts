import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';

/** Removes a directory, even if it contains read-only directories. */
export function removeTree(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch {
    execFileSync('chmod', ['-R', 'u+rwX', directory]);
    rmSync(directory, { recursive: true, force: true });
  }
}
