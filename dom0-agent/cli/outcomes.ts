import { formatSize } from '../../shared/sizes.ts';
import type { Outcome } from '../restore/outcome.ts';
import { formatTable } from './table.ts';

/** The closing table: VM by VM, what happened. */
export function formatOutcomes(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map(({ name, result, bytes, remarks }) => [
    name,
    result,
    result === 'failed' || result === 'left out' ? '' : formatSize(bytes),
    remarks.join('; '),
  ]);
  return formatTable(['VM', 'result', 'size', ''], rows);
}
