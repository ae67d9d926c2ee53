import { describe, expect, it } from 'vitest';
import { fitted } from '../../dom0-agent/cli/wrapped.ts';

describe('a text for a terminal of 20 columns', () => {
  it.each([
    [
      'is broken between words',
      'All volumes are as in the backup.',
      'All volumes are as\nin the backup.',
    ],
    [
      'keeps a path whole',
      'In usb:/home/user/backups: work.',
      'In\nusb:/home/user/backups:\nwork.',
    ],
    [
      'keeps a quoted command whole',
      'use `coffer adopt --help`, see',
      'use\n`coffer adopt --help`,\nsee',
    ],
    ['keeps the columns of a line that fits', 'VM    size   used', 'VM    size   used'],
    [
      'keeps the indentation of a sentence',
      '  made on 2026-03-01 09:05',
      '  made on 2026-03-01\n  09:05',
    ],
    [
      'leaves a command on a line of its own',
      '    coffer backup -d usb backups',
      '    coffer backup -d usb backups',
    ],
    [
      'treats a quotation mark without a second one as a letter',
      'the name is 15" wide, or even wider',
      'the name is 15"\nwide, or even wider',
    ],
    ['keeps empty lines', 'Examples:\n\nlist', 'Examples:\n\nlist'],
  ])('%s', (_, text, shown) => {
    expect(fitted(text, 20)).toBe(shown);
  });

  it('is unchanged if there is no terminal', () => {
    const text = 'All volumes are as in the backup, 1.2 s.';
    expect(fitted(text, Infinity)).toBe(text);
  });
});
