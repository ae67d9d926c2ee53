import { formatSize } from '../../shared/sizes.ts';
import Table from 'cli-table3';
import { printable } from '../../shared/printable.ts';

/** A cell for a size, empty where nobody knows it. */
export function formatKnownSize(bytes: number | undefined): string {
  return bytes === undefined ? '' : formatSize(bytes);
}

/** A plain table for the terminal: columns in line, no borders. Each cell is one line, made fit to be shown. */
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
