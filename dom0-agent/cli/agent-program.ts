import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * The VM agent that plays the storage VM's part in a folder system: the one beside this program, or the one
 * that COFFER_VM_AGENT names.
 */
export function agentProgram(): string {
  const named = process.env['COFFER_VM_AGENT'];
  if (named !== undefined && named !== '') return named;
  return join(dirname(realpathSync(process.argv[1] ?? '.')), 'coffer-vm-agent');
}
