import stringWidth from 'string-width';
import Table from 'cli-table3';
import { wrapped } from './wrapped.ts';

/** The number of blanks between columns. */
const GAP = 2;
/** Wide columns are first narrowed to this width, in which a time still fits. */
const NARROW = 16;
/** If that is not enough, columns are narrowed to this width. */
const NARROWEST = 10;
/** With more lines than this in a cell, a table is harder to read than a block of lines for each row. */
const MOST_LINES = 4;

type Row = readonly string[];

/**
 * A table without borders, at most `columns` wide: as it is, if it fits; otherwise with the widest columns wrapped; or,
 * if they would become too narrow, as a block of lines for each row.
 *
 * @param rows each cell is one line of text
 */
export function layOut(head: Row, rows: readonly Row[], columns: number): string {
  const natural = head.map((_, i) => Math.max(...[head, ...rows].map((row) => widthOf(row[i]))));
  const widths = narrowed(natural, columns);
  if (widths === undefined) return inBlocks(head, rows, columns);
  const cells = [head, ...rows].map((row) =>
    row.map((cell, i) => wrapped(cell, widths[i] ?? 0, 'anywhere')),
  );
  const isLong = cells.some((row) => row.some((lines) => lines.length > MOST_LINES));
  return isLong ? inBlocks(head, rows, columns) : inColumns(cells);
}

function widthOf(cell: string | undefined): number {
  return stringWidth(cell ?? '');
}

/**
 * Narrows the widest columns, then those at the end, until all fit; never the first one, which has the name. Undefined
 * if a column would become too narrow.
 */
function narrowed(
  [first = 0, ...natural]: readonly number[],
  columns: number,
): number[] | undefined {
  const widths = [...natural];
  const total = (): number => widths.reduce((sum, width) => sum + GAP + width, first);
  while (total() > columns) {
    const widest = Math.max(...widths);
    const at =
      widest > NARROW ? widths.indexOf(widest) : widths.findLastIndex((width) => width > NARROWEST);
    if (at < 0) return undefined;
    widths[at] = (widths[at] ?? 0) - 1;
  }
  return [first, ...widths];
}

function inColumns(cells: readonly (readonly string[])[][]): string {
  const [head = [], ...rows] = cells.map((row) => row.map((lines) => lines.join('\n')));
  const none = '';
  const table = new Table({
    head,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': GAP },
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
  table.push(...rows);
  return table.toString().replace(/ +$/gm, '');
}

/** For each row the first cell, and below it, indented, each other cell that is not empty, after its heading. */
function inBlocks([, ...head]: Row, rows: readonly Row[], columns: number): string {
  const blocks = rows.map(([name = '', ...cells]) => {
    const lines = cells.flatMap((cell, i) => {
      const heading = head[i] ?? '';
      const text = heading === '' ? cell : `${heading}: ${cell}`;
      return cell === '' ? [] : wrapped(text, columns - GAP, 'between words');
    });
    return [
      ...wrapped(name, columns, 'between words'),
      ...lines.map((line) => ' '.repeat(GAP) + line),
    ].join('\n');
  });
  return blocks.join('\n');
}
