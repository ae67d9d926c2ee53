import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Progress } from '../../dom0-agent/cli/progress.ts';
import { formatBlock } from '../../dom0-agent/cli/progress-text.ts';
import { Box } from '../cli/box.ts';
import { eventually } from '../eventually.ts';
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

/** The two lines of the progress on the screen. */
const LINES = /^(\[[#-]+\] )?\d+ % .*\n.* of \d.*$/m;
/** The same, once something is read. */
const READING = /^(\[[#-]+\] )?\d+ % .*(work: private|dom0: home).*\n.* of \d.*$/m;

/** A backup of `work` into a command. */
const backUpInto = (command: string): string =>
  `coffer backup ${options} -y --kdf-cost 14 --compress-filter none --command '${command}' work dom0`;

/** Lets a command wait until `letGo`. */
const UNTIL_GO = 'until [ -e go ]; do sleep 0.1; done';

/** Creates a file in the home, larger than what coffer and the pipes buffer while the command waits. */
function fillHome(): string {
  const large = join(box.home, 'large');
  writeFileSync(large, Buffer.alloc(150_000_000, 'not a hole '));
  return large;
}

function letGo(terminal: TmuxTerminal): void {
  writeFileSync(join(terminal.directory, 'go'), '');
}

/** Reads a backup that was changed by `change`, through a command that is slow at its end. */
function readBack(command: string, change: (backup: Buffer) => void, rest = ''): string {
  const file = box.fileOf(box.backUp(['--compress-filter', 'none']));
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

describe.each([200, 80, 40])('in a terminal of %i columns', (columns) => {
  it('the progress has two lines that fit, which are removed at the end', async () => {
    const large = fillHome();
    await using terminal = TmuxTerminal.run(backUpInto(`${UNTIL_GO}; cat >/dev/null`), { columns });
    const [shown = ''] = READING.exec(await terminal.until(READING)) ?? [];
    letGo(terminal);
    for (const line of shown.split('\n')) expect(line.length).toBeLessThan(columns);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.shown).not.toMatch(LINES);
    rmSync(large);
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
    '%s ends at once after %s, and shows the complete reason',
    async (...[, , run, status, why]) => {
      await using terminal = TmuxTerminal.run(run(), { columns });
      await terminal.until(LINES);
      expect(await terminal.ended()).toBe(status);
      expect(terminal.shown).not.toMatch(LINES);
      const shown = terminal.shown.replaceAll('\n', '');
      expect(shown).toMatch(why);
    },
  );

  it('warnings are above the progress, and below the table at the end', async () => {
    const large = fillHome();
    await using terminal = TmuxTerminal.run(backUpInto(`${UNTIL_GO}; cat >/dev/null; sleep 2`), {
      columns,
    });
    await terminal.until(LINES);
    await sleep(1000);
    writeFileSync(large, 'more', { flag: 'a' });
    letGo(terminal);
    await terminal.until(/warning: [^]*\n(\[[#-]+\] )?\d+ % /);
    expect(await terminal.ended()).toBe(0);
    rmSync(large);
    expect(terminal.shown).toMatch(/warning: [^]*^VM [^]*^Stored [^]*^warning: [^]*ENDED/m);
  });
});

describe('a backup that has been sent completely', () => {
  const untilStored = (): string => backUpInto(`cat >/dev/null; touch all; ${UNTIL_GO}`);

  it.each([200, 80, 40])(
    'shows in %i columns that it is syncing until the storage confirms it',
    async (columns) => {
      await using terminal = TmuxTerminal.run(untilStored(), { columns });
      await terminal.until(/100 % {2}syncing\n.* of \d/);
      letGo(terminal);
      expect(await terminal.ended()).toBe(0);
      expect(terminal.shown).not.toMatch(/syncing/);
      expect(terminal.shown).toMatch(/^Stored /m);
    },
  );

  it('ends at Ctrl-C, and says that it may be there', async () => {
    await using terminal = TmuxTerminal.run(`trap : INT\n${untilStored()}`);
    await terminal.until(/syncing/);
    terminal.press('C-c');
    expect(await terminal.ended()).toBe(130);
    expect(terminal.shown).not.toMatch(/syncing/);
    expect(terminal.joined).toMatch(/coffer: interrupted by SIGINT: the backup may /);
  });
});

describe('an interrupt', () => {
  const stages: readonly [string, () => string][] = [
    ['backup', () => backUpInto('sleep 60')],
    ['verify', () => readBack('verify', notAtAll, 'sleep 60')],
    ['restore', () => readBack('restore -y --rename-conflicting', notAtAll, 'sleep 60')],
  ];
  describe.each(stages)('of %s', (_, command) => {
    it('by Ctrl-C ends it and restores the terminal', async () => {
      await using terminal = TmuxTerminal.run(`trap : INT\n${command()}`);
      await terminal.until(LINES);
      terminal.press('C-c');
      expect(await terminal.ended()).toBe(130);
      expect(terminal.shown).not.toMatch(LINES);
      expect(terminal.shown).toMatch(/coffer: interrupted by SIGINT/);
    });

    it('by closing the window ends it with the same exit status', async () => {
      await using terminal = TmuxTerminal.run(
        // The shell of the window ends; another shell notes the exit status of coffer.
        `cat >inner <<'END'\ntrap : HUP\n${command()}\necho $? >status\nEND\nsh inner`,
      );
      await terminal.until(LINES);
      terminal.close();
      const status = join(terminal.directory, 'status');
      await eventually(() => existsSync(status) && readFileSync(status).length > 0, 'coffer ends');
      expect(readFileSync(status, 'utf8')).toBe('130\n');
    });
  });
});

describe('a window that is resized', () => {
  it.each([
    [80, 40],
    [40, 200],
  ])('from %i to %i columns shows the progress once, in lines that fit', async (from, to) => {
    await using terminal = TmuxTerminal.run(backUpInto(`${UNTIL_GO}; cat >/dev/null`), {
      columns: from,
    });
    await terminal.until(LINES);
    terminal.resize(to);
    await expect
      .poll(() =>
        terminal.shown.match(new RegExp(LINES.source, 'gm'))?.map((lines) => widthOf(lines) < to),
      )
      .toEqual([true]);
    expect(terminal.shown.match(/ of \d/g)).toHaveLength(1);
    letGo(terminal);
    expect(await terminal.ended()).toBe(0);
    expect(terminal.shown).not.toMatch(/%|\[#|--\]/);
  });
});

function widthOf(lines: string): number {
  return Math.max(...lines.split('\n').map((line) => line.length));
}

/** A clock that is set by hand, in milliseconds. */
class Clock {
  time = 0;
  readonly now = (): number => this.time;
}

describe('the lines of the progress', () => {
  it.each([40, 41, 60, 80, 120, 200])('fit into %i columns with any numbers', (columns) => {
    for (const total of [1, 1000, 123_456_789, 2 ** 40, 2 ** 50]) {
      const clock = new Clock();
      const name = 'a-vm-with-a-name-of-thirty-one-';
      const progress = new Progress('receive', [{ name, total }], undefined, clock.now);
      progress.working(name, 'private');
      for (let i = 0; i < 12; i++) {
        const lines = formatBlock(progress.standing, columns - 1);
        expect(widthOf(lines.join('\n'))).toBeLessThan(columns);
        expect(lines).toMatchObject([
          expect.stringMatching(/\d+ % {2}a-vm-with-a-name/),
          expect.stringMatching(/^\S+ \S+ of \S+ \S+/),
        ]);
        progress.advance(name, total / 10);
        clock.time += 7_000_000;
      }
      expect(formatBlock(progress.standing, columns)[0]).toContain('100 %');
    }
  });

  it('show bytes, rate, time left and elapsed time', () => {
    const clock = new Clock();
    const progress = new Progress('receive', [{ name: 'work', total: 1000 }], undefined, clock.now);
    expect(formatBlock(progress.standing, 80)[1]).toBe('0 B of 1000 B, 0:00');
    for (let i = 0; i < 5; i++) {
      clock.time += 1000;
      progress.advance('work', 100);
      formatBlock(progress.standing, 80);
    }
    expect(formatBlock(progress.standing, 80)[1]).toBe('500 B of 1000 B, 5 s left, 0:05, 100 B/s');
  });

  it('show a steady time left while the storage confirms in steps', () => {
    const clock = new Clock();
    let confirmed = 0;
    const total = 120 * 64;
    const progress = new Progress(
      'send',
      [{ name: 'work', total }],
      () => ({ archiveBytes: confirmed, dataBytes: confirmed }),
      clock.now,
    );
    const left: number[] = [];
    // 64 bytes every six seconds, which is 10.67 bytes/s.
    for (let second = 1; second <= 360; second++) {
      clock.time += 1000;
      if (second % 6 === 0) confirmed += 64;
      const { secondsLeft } = progress.standing;
      if (second > 60) left.push(secondsLeft ?? NaN);
    }
    const truth = left.map((_, i) => 720 - (61 + i));
    for (const [i, each] of left.entries()) {
      expect(Math.abs(each / (truth[i] ?? 0) - 1)).toBeLessThan(0.25);
    }
  });

  it('do not count the unread rest of a VM that is done', () => {
    const shares = ['work', 'vault'].map((name) => ({ name, total: 1000 }));
    const progress = new Progress('send', shares);
    progress.advance('work', 10);
    progress.finished('work', undefined);
    expect(formatBlock(progress.standing, 80)[1]).toBe('10 B of 1010 B, 0:00');
  });

  it('show the phase sync after all data has been sent', () => {
    const progress = new Progress('send', [{ name: 'work', total: 1000 }]);
    progress.working('work', 'private');
    progress.advance('work', 800);
    progress.phase = 'sync';
    expect(formatBlock(progress.standing, 80)).toEqual([
      expect.stringMatching(/^\[#+\] 100 % {2}syncing$/),
      '800 B of 800 B, 0:00',
    ]);
  });
});
