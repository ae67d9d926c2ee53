import { formatSize } from '../../shared/sizes.ts';
import type { Outcome } from '../contents/outcome.ts';
import { formatKnownSize, formatTable } from './table.ts';

/** The closing table: VM by VM, what happened. */
export function formatOutcomes(outcomes: readonly Outcome[]): string {
  const rows = outcomes.map(({ name, result, size, used, remarks }) => [
    name,
    result,
    formatKnownSize(size),
    result === 'failed' || result === 'left out' ? '' : formatSize(used),
    remarks.join('; '),
  ]);
  return formatTable(['VM', 'result', 'size', 'used', ''], rows);
}
