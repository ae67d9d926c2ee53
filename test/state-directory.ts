import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What tests with a double of qubesd note of backups is not noted in this machine's own record. */
export default function setup(): () => void {
  const directory = mkdtempSync(join(tmpdir(), 'coffer-state-'));
  process.env['COFFER_STATE'] = directory;
  return () => rmSync(directory, { recursive: true });
}
