import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Builds coffer and the VM agent, if their sources are newer. For `beforeAll`. */
export function build(): void {
  const builder = fileURLToPath(new URL('../../tools/build/build.mjs', import.meta.url));
  execFileSync(process.execPath, [builder, 'coffer', 'coffer-vm-agent']);
}
