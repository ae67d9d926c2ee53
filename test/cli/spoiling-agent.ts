import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const AGENT = new URL('../../dist/coffer-vm-agent', import.meta.url).pathname;

/** What a storage VM does to the newest file in `backups` before it serves: JavaScript code that uses its `path`. */
export const SPOILS = {
  flipped:
    'const b = fs.readFileSync(path); const at = b.length >> 1; b[at] ^= 1; fs.writeFileSync(path, b);',
  'cut short':
    'fs.truncateSync(path, fs.statSync(path).size - 4096 - (fs.statSync(path).size % 512));',
  gone: 'fs.rmSync(path);',
  'an older one': 'fs.copyFileSync("backups/" + names.at(-2), path);',
} as const;

/**
 * Makes a VM agent that does something else and then runs the real one; for COFFER_VM_AGENT.
 *
 * @param service before which
 * @param files only while so many are there
 */
export function agentThat(service: 'Fetch' | 'Browse', script: string, files = 1): string {
  const path = join(mkdtempSync(join(tmpdir(), 'coffer-agent-')), 'agent.mjs');
  writeFileSync(
    path,
    `import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
const names = fs.readdirSync('backups').filter((name) => !name.endsWith('.partial')).sort();
const path = 'backups/' + names.at(-1);
if (process.argv[2] === ${JSON.stringify(service)} && names.length >= ${files}) { ${script} }
process.exitCode = spawnSync(process.execPath, [${JSON.stringify(AGENT)}, process.argv[2]], { stdio: 'inherit' }).status;
`,
  );
  return path;
}
