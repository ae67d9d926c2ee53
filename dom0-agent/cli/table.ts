import { printable } from '../../shared/printable.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { Outcome } from '../contents/outcome.ts';
import type { Qube } from '../qubes/qube.ts';
import { resultColumns } from './output.ts';
import { layOut } from './table-layout.ts';

/** A cell for a size in bytes; empty if it is unknown. */
export function formatKnownSize(bytes: number | undefined): string {
  return bytes === undefined ? '' : formatSize(bytes);
}

/** A plain table that fits the terminal: aligned columns, no borders. Each cell is made printable. */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  columns = resultColumns(),
): string {
  const cells = rows.map((row) => row.map((cell) => printable(cell)));
  return layOut(head, cells, columns);
}

/** Headings of the columns that describe a VM, besides its name. */
export const QUBE_COLUMNS = ['class', 'template', 'net qube'] as const;

/** These columns for a VM. Without a chosen net qube, a VM uses the system's default, and a template has none. */
export function qubeColumns({ qubeClass, properties }: Qube): string[] {
  const chosen = properties.get('netvm') ?? (qubeClass === 'TemplateVM' ? '' : '(default)');
  return [qubeClass, properties.get('template') ?? '', chosen === '' ? 'none' : chosen];
}

/** The table at the end: VM by VM, what happened. */
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
