import Table from 'cli-table3';
import { printable } from '../../shared/printable.ts';
import { formatSize } from '../../shared/sizes.ts';
import type { Outcome } from '../contents/outcome.ts';
import type { Qube } from '../qubes/qube.ts';

/** A cell for a size, empty where it is not known. */
export function formatKnownSize(bytes: number | undefined): string {
  return bytes === undefined ? '' : formatSize(bytes);
}

/** A plain table for the terminal: aligned columns, no borders. Each cell is one line, made printable. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const none = '';
  const table = new Table({
    head: [...head],
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: {
      top: none,
      'top-mid': none,
      'top-left': none,
      'top-right': none,
      bottom: none,
      'bottom-mid': none,
      'bottom-left': none,
      'bottom-right': none,
      left: none,
      'left-mid': none,
      mid: none,
      'mid-mid': none,
      right: none,
      'right-mid': none,
      middle: none,
    },
  });
  table.push(...rows.map((row) => row.map((cell) => printable(cell))));
  return table.toString().replace(/ +$/gm, '');
}

/** Headings of the columns that describe a VM, besides its name. */
export const QUBE_COLUMNS = ['class', 'template', 'net qube'] as const;

/** Those columns of a VM. Without a chosen net qube, a VM has the system's default, and a template none. */
export function qubeColumns({ qubeClass, properties }: Qube): string[] {
  const chosen = properties.get('netvm') ?? (qubeClass === 'TemplateVM' ? '' : '(default)');
  return [qubeClass, properties.get('template') ?? '', chosen === '' ? 'none' : chosen];
}

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
