import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Box } from '../cli/box.ts';
import { TmuxTerminal } from './tmux.ts';

const COMPLETION = new URL('../../rpm/completion', import.meta.url).pathname;

let box: Box;
let environment: NodeJS.ProcessEnv;
const rubbish: (() => unknown)[] = [];
afterAll(async () => {
  for (const remove of rubbish) await remove();
});
beforeAll(async () => {
  box = await Box.full((remove) => rubbish.push(remove));
  const profiles = join(box.directory, 'profiles');
  mkdirSync(profiles);
  writeFileSync(join(profiles, 'weekly.conf'), '');
  environment = { COFFER_SYSTEM: box.directory, COFFER_PROFILES: profiles };
  mkdirSync(join(box.backups, 'old'));
  for (const name of ['qubes-backup-1', 'qubes-backup-2', '$(touch owned)', 'a b']) {
    writeFileSync(join(box.backups, name), '');
  }
});

/** The completions of the last word. */
function complete(...words: readonly string[]): string[] {
  const { stdout, status } = box.bare(['complete', '--', ...words], '', environment);
  expect(status).toBe(0);
  return stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split(' ')[0] ?? '');
}

describe('coffer complete offers', () => {
  it('the commands that the help shows', () => {
    expect(complete('')).toEqual(expect.arrayContaining(['backup', 'restore', 'status']));
    expect(complete('')).not.toContain('complete');
    expect(complete('ver')).toEqual(['verify']);
  });

  it('the options of a command, but not hidden ones', () => {
    expect(complete('backup', '--com')).toEqual(['--command', '--compress-filter']);
    expect(complete('restore', '--skip')).toEqual([
      ...['--skip-conflicting', '--skip-broken', '--skip-dom0-home'],
    ]);
  });

  it.each([
    [
      ['backup', '--format='],
      ['--format=coffer-1', '--format=qubes-4'],
    ],
    [['backup', '--running', 's'], ['skip']],
    [['backup', '-Z', 'z'], ['zstd']],
    [['backup', '--profile', ''], ['weekly']],
    [['backup', '--profile=w'], ['--profile=weekly']],
    [['restore', '--pool', ''], ['varlibqubes']],
    [['restore', '-d', 'w'], ['work']],
    [['backup', '-p', ''], [':files']],
    [['backup', '--system', ''], [':directories']],
  ])('the values of an option: %j', (words, offered) => {
    expect(complete(...words)).toEqual(offered);
  });

  it('the VMs that are not named yet', () => {
    expect(complete('backup', 'backups', 'work', '')).toEqual(['dom0', 'debian', 'usb', 'vault']);
  });

  it('the backups and directories of a VM if a backup is read', () => {
    expect(complete('restore', '-d', 'usb', 'backups/')).toEqual([
      ...['backups/old/', 'backups/qubes-backup-1', 'backups/qubes-backup-2'],
    ]);
    expect(complete('list', '--dest-vm=usb', 'b')).toEqual(['backups/']);
    expect(complete('verify', '-d', 'usb', 'backups/qubes-backup-2')).toEqual([
      'backups/qubes-backup-2',
    ]);
    expect(complete('verify', '-d', 'usb', `${box.backups}/o`)).toEqual([`${box.backups}/old/`]);
  });

  it('only the directories of a VM if a backup is written; in dom0, the shell completes paths itself', () => {
    expect(complete('backup', '-d', 'usb', 'backups/')).toEqual(['backups/old/']);
    expect(complete('backup', '')).toEqual([':directories']);
    expect(complete('restore', '')).toEqual([':files']);
  });

  it('nothing if it knows no completion', () => {
    for (const words of [
      ['nosuch', ''],
      ['backup', '--command', 'ssh'],
      ['restore', '-d', 'nosuch', ''],
      ['verify', '-d', 'usb', 'nosuch/'],
      ['backup', '--kdf-cost', ''],
    ]) {
      expect(complete(...words)).toEqual([]);
    }
  });
});

/** How each shell is started. */
const SHELLS: Readonly<Record<string, string>> = {
  bash: `exec bash --norc --noprofile -i`,
  zsh: `exec zsh -f -i`,
  fish: `exec fish --no-config -i`,
};
const READY: Readonly<Record<string, string>> = {
  bash: `PS1='READY> '; source ${COMPLETION}/coffer.bash`,
  zsh: `PS1='READY> '; autoload -Uz compinit; compinit -u -D; source ${COMPLETION}/coffer.zsh`,
  fish: `function fish_prompt; echo 'READY> '; end; source ${COMPLETION}/coffer.fish`,
};

describe.each(['bash', 'zsh', 'fish'])('in %s, Tab completes', (shell) => {
  async function ready(): Promise<TmuxTerminal> {
    const settings = Object.entries(environment).map(([name, value]) => `${name}='${value ?? ''}'`);
    const terminal = TmuxTerminal.run(
      `export HOME=$PWD TERM=screen ${settings.join(' ')}\n${SHELLS[shell] ?? ''}`,
      { columns: 120 },
    );
    await terminal.until(/[$%#>] *$/);
    terminal.type(`${READY[shell] ?? ''}\n`);
    await terminal.until(/^READY> *$/m);
    return terminal;
  }

  it.each([
    ['coffer ver', 'coffer verify '],
    ['coffer backup -Z z', 'coffer backup -Z zstd '],
    ['coffer backup --format=q', 'coffer backup --format=qubes-4 '],
    ['coffer restore -d us', 'coffer restore -d usb '],
    ['coffer verify -d usb backups/o', 'coffer verify -d usb backups/old/'],
  ])('%s', async (typed, completed) => {
    await using terminal = await ready();
    terminal.type(typed);
    await terminal.until(new RegExp(typed));
    terminal.press('Tab');
    terminal.type('X');
    await terminal.until(new RegExp(`${completed}X`));
  });

  it('no file names that the shell could execute', async () => {
    await using terminal = await ready();
    terminal.type('coffer verify -d usb backups/');
    terminal.press('Tab');
    // Bash shows the completions at the second Tab.
    if (shell === 'bash') terminal.press('Tab');
    await terminal.until(/qubes-backup-/);
    expect(terminal.shown).not.toMatch(/owned|a b/);
  });
});

it('the completions of bash, zsh and fish are valid scripts', () => {
  execFileSync('shellcheck', ['--shell=bash', `${COMPLETION}/coffer.bash`]);
  expect(spawnSync('zsh', ['-n', `${COMPLETION}/coffer.zsh`]).status).toBe(0);
  expect(spawnSync('fish', ['--no-execute', `${COMPLETION}/coffer.fish`]).status).toBe(0);
});
