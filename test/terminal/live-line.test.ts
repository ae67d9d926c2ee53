import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProgressLine } from '../../dom0-agent/cli/progress-line.ts';
import { Box } from '../cli/box.ts';
import { TmuxTerminal } from './tmux.ts';

let box: Box;
/** The options of every command here. */
let options: string;
const rubbish: (() => unknown)[] = [];
afterAll(async () => {
  for (const remove of rubbish) await remove();
});
beforeAll(async () => {
  box = await Box.full((remove) => rubbish.push(remove));
  const image = join(box.directory, 'appvms/work/private.img');
  writeFileSync(image, randomBytes(8_000_000), { flag: 'r+' });
  options = `--system '${box.directory}' -p '${box.passphraseFile}'`;
});

/** The line with the progress, as it is on the screen. */
const LINE = /^(\[[#-]+\] )?\d+ % of .*$/m;

/** A backup of `work` into a command. */
const backUpInto = (command: string): string =>
  `coffer backup ${options} -y --kdf-cost 14 --compress-filter none --command '${command}' work dom0`;

/** A command waits so until `letGo`. */
const UNTIL_GO = 'until [ -e go ]; do sleep 0.1; done';

function letGo(terminal: TmuxTerminal): void {
  writeFileSync(join(terminal.directory, 'go'), '');
}

/** A backup of `work` and `vault` in a file, changed by `change`, read by a command that is slow at its end. */
function readBack(command: string, change: (backup: Buffer) => void, rest = ''): string {
  const file = join(box.directory, 'homes/usb', box.backUp(['--compress-filter', 'none']));
  const backup = readFileSync(file);
  change(backup);
  writeFileSync(file, backup);
  return `coffer ${command} ${options} --command 'head -c 6000000 "${file}"; sleep 1; tail -c +6000001 "${file}"; ${rest}'`;
}

const notAtAll = (): void => undefined;
const inTheMiddle = (backup: Buffer): void => {
  const at = 7_000_000;
  backup.writeUInt8(backup.readUInt8(at) ^ 1, at);
};

describe.each([80, 40])('in a terminal of %i columns', (columns) => {
  it('a line shows the progress, fits, and is gone at the end', async () => {
    await using terminal = TmuxTerminal.run(backUpInto(`${UNTIL_GO}; cat >/dev/null`), { columns });
    const [line = ''] = LINE.exec(await terminal.until(LINE)) ?? [];
    letGo(terminal);
    expect(line.length).toBeLessThan(columns);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.shown).not.toMatch(LINE);
  });

  it.each([
    [
      'backup',
      'a command that fails',
      () => backUpInto('sleep 1; exit 7'),
      4,
      /coffer: .*status 7.*ENDED/,
    ],
    ['verify', 'damage', () => readBack('verify', inTheMiddle), 3, /The backup is damaged.*ENDED/],
    [
      'restore',
      'damage',
      () => readBack('restore -y --rename-conflicting', inTheMiddle),
      3,
      /coffer: .*damaged.*ENDED/,
    ],
  ] as const)(
    '%s ends at once after %s, and says why in whole',
    async (...[, , run, status, why]) => {
      await using terminal = TmuxTerminal.run(run(), { columns });
      await terminal.until(LINE);
      expect(await terminal.ended()).toBe(status);
      expect(terminal.shown).not.toMatch(LINE);
      const shown = terminal.shown.replaceAll('\n', '');
      expect(shown).toMatch(why);
    },
  );

  it('warnings stand above the line, and below the table at the end', async () => {
    const large = join(box.home, 'large');
    // More than what coffer and the pipes hold while the command waits.
    writeFileSync(large, Buffer.alloc(150_000_000, 'not a hole '));
    await using terminal = TmuxTerminal.run(backUpInto(`${UNTIL_GO}; cat >/dev/null; sleep 2`), {
      columns,
    });
    await terminal.until(LINE);
    await sleep(1000);
    writeFileSync(large, 'more', { flag: 'a' });
    letGo(terminal);
    await terminal.until(/warning: [^]*\n(\[[#-]+\] )?\d+ % of/);
    expect(await terminal.ended()).toBe(0);
    rmSync(large);
    expect(terminal.shown).toMatch(/warning: [^]*^VM [^]*^Stored [^]*^warning: [^]*ENDED/m);
  });
});

describe('an interrupt', () => {
  const stages: readonly [string, () => string][] = [
    ['backup', () => backUpInto('sleep 60')],
    ['verify', () => readBack('verify', notAtAll, 'sleep 60')],
    ['restore', () => readBack('restore -y --rename-conflicting', notAtAll, 'sleep 60')],
  ];
  describe.each(stages)('of %s', (_, command) => {
    it('by Ctrl-C ends it, and the terminal is as it was', async () => {
      await using terminal = TmuxTerminal.run(`trap : INT\n${command()}`);
      await terminal.until(LINE);
      terminal.press('C-c');
      expect(await terminal.ended()).toBe(130);
      expect(terminal.shown).not.toMatch(LINE);
      expect(terminal.shown).toMatch(/coffer: interrupted by SIGINT/);
    });

    it('by the end of the window ends it as any other', async () => {
      await using terminal = TmuxTerminal.run(
        // The shell of the window ends; one that does not notes how coffer ended.
        `cat >inner <<'END'\ntrap : HUP\n${command()}\necho $? >status\nEND\nsh inner`,
      );
      await terminal.until(LINE);
      terminal.close();
      const status = join(terminal.directory, 'status');
      while (!existsSync(status) || readFileSync(status).length === 0) await sleep(50);
      expect(readFileSync(status, 'utf8')).toBe('130\n');
    });
  });
});

describe('a window that changes its size', () => {
  it.each([
    [80, 40],
    [40, 200],
  ])('from %i to %i columns has one line, which fits', async (from, to) => {
    await using terminal = TmuxTerminal.run(backUpInto(`${UNTIL_GO}; cat >/dev/null`), {
      columns: from,
    });
    await terminal.until(LINE);
    terminal.resize(to);
    await expect
      .poll(() =>
        terminal.shown.match(new RegExp(LINE.source, 'gm'))?.map((line) => line.length < to),
      )
      .toEqual([true]);
    letGo(terminal);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.shown).not.toMatch(/%|\[#|--\]/);
  });
});

describe('the line of the progress', () => {
  it.each([40, 41, 60, 80, 120, 200])('fits into %i columns, whatever is shown', (columns) => {
    for (const total of [1, 1000, 123_456_789, 2 ** 40, 2 ** 50]) {
      let time = 0;
      const line = new ProgressLine(total, () => time);
      line.subject = 'a-vm-with-a-name-of-thirty-one-: reading private';
      for (let i = 0; i < 12; i++) {
        const text = line.format(columns - 1);
        expect(text.length).toBeLessThan(columns);
        expect(text).toMatch(/\d+ % of \S+ \S+/);
        line.advance(total / 10);
        time += 7_000_000;
      }
      expect(line.format(columns)).toContain('100 % of');
    }
  });

  it('tells the time that is left at the speed of the last seconds', () => {
    let time = 0;
    const line = new ProgressLine(1000, () => time);
    expect(line.format(60)).not.toContain('left');
    for (let i = 0; i < 5; i++) {
      time += 1000;
      line.advance(100);
      line.format(60);
    }
    expect(line.format(60)).toContain('50 % of 1000 B, 5 s left');
  });
});
