import fc from 'fast-check';
import stringWidth from 'string-width';
import { describe, expect, it } from 'vitest';
import { formatTable } from '../../dom0-agent/cli/table.ts';

const HEAD = ['VM', 'last backup', 'where', ''];
const ROWS = [
  ['work', '2026-11-25 18:29', 'usb:/home/user/backups/qubes-backup-2026-11-25T182901', ''],
  ['vault', '', '', 'never backed up'],
];

describe('a table', () => {
  it('is as wide as its cells if there is room', () => {
    expect(formatTable(HEAD, ROWS, 100).split('\n')).toEqual([
      'VM     last backup       where',
      'work   2026-11-25 18:29  usb:/home/user/backups/qubes-backup-2026-11-25T182901',
      'vault                                                                           never backed up',
    ]);
    expect(formatTable(HEAD, ROWS, Infinity)).toBe(formatTable(HEAD, ROWS, 100));
  });

  it('has its widest columns wrapped if there is less room', () => {
    expect(formatTable(HEAD, ROWS, 80).split('\n')).toEqual(
      [
        'VM     last backup       where                                 ',
        'work   2026-11-25 18:29  usb:/home/user/backups/qubes-backup-20',
        '                         26-11-25T182901',
        'vault                                                            never backed up',
      ].map((line) => line.trimEnd()),
    );
  });

  it('becomes a block of lines for each row if there is little room', () => {
    expect(formatTable(HEAD, ROWS, 40).split('\n')).toEqual([
      'work',
      '  last backup: 2026-11-25 18:29',
      '  where:',
      '  usb:/home/user/backups/qubes-backup-2026-11-25T182901',
      'vault',
      '  never backed up',
    ]);
  });

  it('of any cells without words that must stay whole fits the terminal', () => {
    const word = fc
      .string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 30 })
      .map((text) => text.replace(/[`"]/g, '.'));
    const cell = fc.array(word, { maxLength: 8 }).map((words) => words.join(' '));
    const rows = fc.array(fc.tuple(cell, cell, cell), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(rows, fc.constantFrom(40, 60, 80, 120, 200), (cells, columns) => {
        const lines = formatTable(['a', 'b', ''], cells, columns).split('\n');
        expect(Math.max(...lines.map((line) => stringWidth(line)))).toBeLessThanOrEqual(columns);
      }),
    );
  });
});
