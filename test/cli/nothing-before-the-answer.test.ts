import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { Box, type Run } from './box.ts';

const COFFER = new URL('../../dist/coffer', import.meta.url).pathname;

let box: Box;
let home: string;
beforeEach(async () => {
  box = await Box.full();
  home = join(box.directory, 'homes/usb');
});

/** Runs coffer at a terminal where `n` is answered. */
function answerNo(args: readonly string[]): { status: number | null; screen: string } {
  const quote = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
  const line = [COFFER, ...args, '--system', box.directory].map(quote).join(' ');
  const run = spawnSync('script', ['--quiet', '--return', '--command', line, '/dev/null'], {
    input: 'n\n',
    encoding: 'utf8',
  });
  return { status: run.status, screen: run.stdout };
}

describe('a backup to a command', () => {
  const COMMAND = 'cat > last-week';
  const backup = (): string[] => ['backup', '-d', 'usb', '--command', COMMAND, 'work'];

  it.each([
    ['there is no terminal to ask at', [], /no terminal/],
    ['there is no passphrase', ['-y', '-p', '/nosuch'], /\/nosuch/],
    ['the passphrase is empty', ['-y', '-p', '-'], /passphrase is empty/],
    ['a VM is unknown', ['-y', '-x', 'nosuch'], /no VM called nosuch/],
    ['the compression program is missing', ['-y', '--compress-filter', 'gzip'], /gzip is not/],
  ])('is not started if %s', (_, args, sentence) => {
    writeFileSync(join(home, 'last-week'), 'a backup');
    const path = args.includes('gzip') ? '/nosuch' : process.env['PATH'];
    const run: Run = spawnSync(
      process.execPath,
      [COFFER, ...backup(), ...args, '--system', box.directory],
      { encoding: 'utf8', input: '', env: { ...process.env, PATH: path } },
    );
    expect(run, run.stderr).toMatchObject({ status: 5 });
    expect(run.stderr).toMatch(sentence);
    expect(readFileSync(join(home, 'last-week'), 'utf8')).toBe('a backup');
  });

  it('is not started if the answer is no', () => {
    writeFileSync(join(home, 'last-week'), 'a backup');
    const { status, screen } = answerNo([...backup(), ...box.secret]);
    expect(status, screen).toBe(5);
    expect(screen).toMatch(/work +AppVM .*private.*in all, to the command in usb\..*\[y\/N\]/s);
    expect(readFileSync(join(home, 'last-week'), 'utf8')).toBe('a backup');
  });
});

describe('a backup to a directory', () => {
  it('leaves nothing there if the answer is no, and does not ask for the passphrase before that', () => {
    const { status, screen } = answerNo(['backup', '-d', 'usb', 'backups', 'work']);
    expect(status, screen).toBe(5);
    expect(screen).toMatch(/in all, to usb:.*\/backups \([\d.]+\s+\w+\s+free\s+there\)\./);
    expect(screen).not.toContain('Passphrase');
    expect(readdirSync(box.backups)).toEqual([]);
  });

  it('shows what it asks about, even with --quiet or --json', () => {
    for (const flag of ['--quiet', '--json']) {
      const { screen } = answerNo(['backup', '-d', 'usb', flag, 'backups', 'work']);
      expect(screen).toMatch(/work +AppVM.*Back up\?/s);
    }
  });
});

describe('a backup that comes from a command', () => {
  it.each(['list', 'verify', 'restore'])('is not read if %s has no passphrase', (name) => {
    const args = ['--command', '-d', 'usb', '-p', '/nosuch', 'touch begun; cat none'];
    const yes = name === 'restore' ? ['-y'] : [];
    expect(box.coffer([name, ...args, ...yes])).toMatchObject({ status: 5 });
    expect(existsSync(join(home, 'begun'))).toBe(false);
  });

  it('is not read if there is no terminal to confirm the restore at', () => {
    const args = ['restore', '--command', '-d', 'usb', ...box.secret, 'touch begun; cat none'];
    const run = box.coffer(args);
    expect(run).toMatchObject({ status: 5 });
    expect(run.stderr).toMatch(/-y/);
    expect(existsSync(join(home, 'begun'))).toBe(false);
  });
});

describe('a backup without a directory', () => {
  it.each([[['work']], [['work', 'vault']]])(
    'is refused with advice if the first word is a VM: %j',
    (words) => {
      const run = box.coffer(['backup', '-d', 'usb', '-y', ...box.secret, ...words]);
      expect(run).toMatchObject({ status: 5 });
      expect(run.stderr).toContain(
        `did you forget the directory? work is a VM: use \`coffer backup DIRECTORY ${words.join(' ')}\``,
      );
    },
  );
});
