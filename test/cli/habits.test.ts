import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Box } from './box.ts';
import { type Told, lastEvent } from './events.ts';

function namesIn({ qubes, ...rest }: Told): string[] {
  expect(qubes, JSON.stringify(rest)).toBeInstanceOf(Array);
  return (qubes as readonly { name: string }[]).map(({ name }) => name);
}

describe('the habits of qvm-backup:', () => {
  it.each([
    [['-e', '-z', '-v'], 'zstd'],
    [['--encrypt', '--compress', '--verbose'], 'zstd'],
    [['--no-compress'], 'none'],
    [['-Z', 'gzip'], 'gzip'],
    [['--compress-filter=none'], 'none'],
  ])('backup accepts %j', async (words, compression) => {
    const box = await Box.full(onTestFinished, 'dom0');
    const backup = box.backUp([...words, '-x', 'work']);
    const { stdout } = box.loud(['list', '--json', ...box.secret, backup]);
    const list = lastEvent(stdout);
    expect(list).toMatchObject({ encrypted: true, compression });
    expect(namesIn(list)).not.toContain('work');
  });

  it('options that are only accepted for them are not in the help', async () => {
    const box = await Box.full(onTestFinished, 'dom0');
    for (const command of ['backup', 'restore']) {
      const { stdout } = box.bare([command, '--help']);
      expect(stdout).not.toMatch(/ --(compress|verbose|plan-b|paranoid-mode|auto-close)\b(?!-)/);
    }
  });

  it('the names of VMs that are chosen or left out may be patterns', async () => {
    const box = await Box.full(onTestFinished, 'dom0');
    const backUp = (...words: string[]): string[] => {
      const args = ['backup', '--json', ...box.secret, '-y', 'backups', ...words];
      return namesIn(lastEvent(box.loud(args).stdout));
    };
    expect(backUp('w*', 'vaul?', 'work')).toEqual(['work', 'vault']);
    expect(backUp('-x', 'd*')).toEqual(['work', 'vault']);
    const backup = join('backups', readdirSync(box.backups).sort()[0] ?? '');
    const verify = ['restore', '--verify-only', '--json', ...box.secret, backup];
    const verified = lastEvent(box.loud([...verify, '*']).stdout);
    expect(namesIn(verified)).toEqual(['work', 'vault']);
    expect(namesIn(lastEvent(box.loud([...verify, '-x', 'w*']).stdout))).toEqual(['vault']);
  });

  it('a pattern that matches nothing is refused like an unknown name', async () => {
    const box = await Box.full(onTestFinished, 'dom0');
    for (const words of [['x*'], ['-x', 'x?']]) {
      const run = box.coffer(['backup', ...box.secret, '-y', 'backups', ...words]);
      expect(run).toMatchObject({ status: 5 });
      expect(run.stderr).toMatch(/there is no VM matching x[*?] on this system/);
    }
  });

  it('a file name in place of a directory is refused with advice', async () => {
    const box = await Box.full(onTestFinished, 'dom0');
    const there = (location: string): string =>
      box.coffer(['backup', ...box.secret, '-y', location, 'work']).stderr;
    const advice = `to store the backup in ${box.directory}, name that directory.`;
    expect(there(join(box.directory, 'my-backup'))).toContain(advice);
    writeFileSync(join(box.directory, 'former'), 'a backup');
    expect(there(join(box.directory, 'former'))).toContain(advice);
    expect(there('/nosuch/my-backup')).not.toContain('name that directory');
    expect(readFileSync(join(box.directory, 'former'), 'utf8')).toBe('a backup');
  });

  it.each(['backup', 'list', 'verify', 'restore'])(
    'a command in place of a path is refused with advice: %s',
    async (name) => {
      const box = await Box.full(onTestFinished, 'dom0');
      const yes = ['backup', 'restore'].includes(name) ? ['-y'] : [];
      const run = box.coffer([name, ...box.secret, ...yes, 'ssh host "cat x"']);
      expect(run).toMatchObject({ status: 5 });
      expect(run.stderr).toContain('If it is a command, use --command.');
    },
  );
});

describe('the habits of qvm-backup-restore:', () => {
  it('restore accepts -v and --auto-close', async () => {
    const box = await Box.full(onTestFinished, 'dom0');
    const args = ['restore', '-v', '--auto-close', '-y', ...box.secret];
    const run = box.coffer([...args, '--rename-conflicting', box.backUp(), 'work']);
    expect(run, run.stderr).toMatchObject({ status: 0 });
  });

  it.each([
    ['--paranoid-mode', '--distrust-settings'],
    ['--plan-b', '--distrust-settings'],
    ['--location-is-service', '--command'],
  ])('%s is refused with advice', async (flag, answer) => {
    const box = await Box.full(onTestFinished, 'dom0');
    const backup = box.backUp();
    const before = box.state;
    const run = box.coffer(['restore', flag, '-y', ...box.secret, backup]);
    expect(run).toMatchObject({ status: 2 });
    expect(run.stderr).toMatch(`there is no ${flag} here: `);
    expect(run.stderr).toContain(answer);
    expect(box.state).toBe(before);
  });
});
