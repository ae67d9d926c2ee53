import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { withPreloaded } from '../test-run.ts';
import { Box } from '../cli/box.ts';
import { TmuxTerminal } from './tmux.ts';

const CLOCK = new URL('../cli/fixed-clock.cjs', import.meta.url).pathname;
const DAY_LATER = '2026-03-02T10:00:00Z';

let box: Box;
const rubbish: (() => unknown)[] = [];
afterAll(async () => {
  for (const remove of rubbish) await remove();
});
beforeAll(async () => {
  box = await Box.full((remove) => rubbish.push(remove));
  const clock = { ...at('2026-03-01T09:05:03Z') };
  box.coffer(['backup', '-d', 'usb', ...box.secret, '-y', 'backups', 'work', 'vault'], '', clock);
});

function at(clock: string): Record<string, string> {
  return { TZ: 'UTC', FIXED_CLOCK: clock, NODE_OPTIONS: withPreloaded(CLOCK) };
}

/** The output of a command, with lines joined that the terminal broke, and placeholders for sizes and places. */
async function screenOf(command: string, columns: number): Promise<string[]> {
  const environment = Object.entries(at(DAY_LATER)).map(([name, value]) => `${name}='${value}'`);
  await using terminal = TmuxTerminal.run(
    `export ${environment.join(' ')}\ncoffer ${command} --system '${box.directory}'`,
    { columns, rows: 60 },
  );
  await terminal.ended();
  const [shown = ''] = terminal.joined.split('\nENDED');
  return shown
    .replaceAll(box.directory, '/qubes')
    .replace(/[\d.]+\s[kKMG]?i?B\b/g, 'SIZE')
    .replace(
      /series\s[0-9a-f]{8},\snumber\s1,\s([\d-]+),\s[0-9a-f]{4}\s[0-9a-f]{4}/g,
      'series ID, number 1, $1, MAC',
    )
    .split('\n')
    .map((line) => line.trimEnd());
}

/** The words of sentences, which are broken at places that depend on the length of a directory's name. */
function words(lines: readonly string[]): string[] {
  return lines.join(' ').split(/ +/);
}

const PLACE = 'In usb:/qubes/homes/usb/backups/qubes-backup-2026-03-01T090503: work, vault.';

const CHECKED =
  'The backup in usb:/qubes/homes/usb/backups: the last 24 h ago; every file has been checked since 2026-03-01 09:05.';

describe('coffer status shows', () => {
  const table = [
    'VM      last backup       age   checked',
    'dom0                                              never backed up',
    'debian                                            never backed up',
    'work    2026-03-01 09:05  24 h  2026-03-01 09:05',
    'vault   2026-03-01 09:05  24 h  2026-03-01 09:05',
    PLACE,
    CHECKED,
    'In no series of backups: debian.',
    'Not backed up by default: usb.',
    'Never backed up: dom0, debian.',
  ];

  it.each([200, 80])('a table in %i columns', async (columns) => {
    const screen = await screenOf('status', columns);
    expect(screen.slice(0, 5)).toEqual(table.slice(0, 5));
    expect(words(screen)).toEqual(words(table));
  });

  it('a block for each VM in 40 columns', async () => {
    const screen = await screenOf('status', 40);
    const blocks = [
      'dom0',
      '  never backed up',
      'debian',
      '  never backed up',
      'work',
      '  last backup: 2026-03-01 09:05',
      '  age: 24 h',
      '  checked: 2026-03-01 09:05',
      'vault',
      '  last backup: 2026-03-01 09:05',
      '  age: 24 h',
      '  checked: 2026-03-01 09:05',
    ];
    expect(screen.slice(0, blocks.length)).toEqual(blocks);
    expect(words(screen)).toEqual(words([...blocks, ...table.slice(5)]));
  });
});

describe('coffer list of a directory shows', () => {
  const CARD = 'The newest backup: series ID, number 1, 2026-03-01, MAC';
  const list = (): string => `list -d usb -p '${box.passphraseFile}' backups`;
  const end =
    'Only the header and the list of VMs of each were checked: coffer verify checks everything.';

  it('a table in 200 columns', async () => {
    const screen = await screenOf(list(), 200);
    expect(screen.map((line) => line.replace(/ {2,}/g, '  '))).toEqual([
      '1 backup in usb:/qubes/homes/usb/backups (SIZE free there)',
      'backup  made on  format  stored  data  VMs  checked',
      'qubes-backup-2026-03-01T090503  2026-03-01 09:05  coffer-1  SIZE  SIZE  work, vault  2026-03-01 09:05',
      end,
      CARD,
    ]);
  });

  it('a block for each backup in 40 columns', async () => {
    const screen = await screenOf(list(), 40);
    expect(words(screen)).toEqual(
      words([
        '1 backup in usb:/qubes/homes/usb/backups (SIZE free there)',
        'qubes-backup-2026-03-01T090503',
        '  made on: 2026-03-01 09:05',
        '  format: coffer-1',
        '  stored: SIZE',
        '  data: SIZE',
        '  VMs: work, vault',
        '  checked: 2026-03-01 09:05',
        end,
        CARD,
      ]),
    );
    expect(screen).toContain('  stored: SIZE');
  });
});
