import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Box } from '../cli/box.ts';
import { TmuxTerminal } from './tmux.ts';

let box: Box;
let backup: string;
const rubbish: (() => unknown)[] = [];
afterAll(async () => {
  for (const remove of rubbish) await remove();
});
beforeAll(async () => {
  box = await Box.full((remove) => rubbish.push(remove));
  backup = box.backUp();
});

const here = (): string => `--system '${box.directory}'`;
const there = (): string => `${here()} -d usb -p '${box.passphraseFile}'`;

const COMMANDS: readonly [string, () => string, number][] = [
  ['status', () => `status ${here()}`, 0],
  ['list of a backup', () => `list ${there()} '${backup}'`, 0],
  ['list of a directory', () => `list ${there()} backups`, 0],
  ['verify', () => `verify ${there()} '${backup}'`, 0],
  ['restore', () => `restore ${there()} -y --rename-conflicting -x dom0 '${backup}'`, 0],
  ['backup', () => `backup ${there()} -y --kdf-cost 14 backups`, 0],
];

describe.each([40, 80, 200])('in a terminal of %i columns', (columns) => {
  it.each(COMMANDS)(
    'the output of %s fits, except for words that are longer than a line',
    async (_, command, status) => {
      await using terminal = TmuxTerminal.run(`coffer ${command()}`, { columns, rows: 100 });
      expect(await terminal.ended()).toBe(status);
      const joined = terminal.joined.split('\n');
      const rows = joined.slice(
        0,
        joined.findIndex((line) => line.startsWith('ENDED')),
      );
      expect(rows.length).toBeGreaterThan(0);
      for (const line of rows.filter(({ length }) => length > columns)) {
        expect(line.trim()).not.toContain(' ');
      }
      expect(terminal.shown).toMatch(/^(vault|qubes-backup-\S{17})\b/m);
    },
  );
});
