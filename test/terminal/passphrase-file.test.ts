import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { TmuxTerminal } from './tmux.ts';

const COFFER = new URL('../../dist/coffer', import.meta.url).pathname;

/** With a umask that would let others read the file. */
const MAKE = 'trap : INT; umask 0; coffer passphrase-file secret';

describe('coffer passphrase-file', () => {
  it('asks twice, and creates a file that only its owner can read', async () => {
    await using terminal = TmuxTerminal.run(MAKE);
    await terminal.until(/^Passphrase:/m);
    terminal.type('grüße, 100 times\n');
    await terminal.until(/^Repeat the passphrase:/m);
    terminal.type('grüße, 100 times\n');
    expect(await terminal.ended()).toBe(0);
    const file = join(terminal.directory, 'secret');
    expect(readFileSync(file, 'utf8')).toBe('grüße, 100 times\n');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(terminal.shown).not.toContain('100 times');
    expect(terminal.shown).toContain('The passphrase is in secret');
  });

  it('asks again if the two passphrases differ', async () => {
    await using terminal = TmuxTerminal.run(MAKE);
    await terminal.until(/^Passphrase:/m);
    terminal.type('0ne\ntw0\n');
    await terminal.until(/do not match[^]*^Passphrase:/m);
    terminal.type('thr33\nthr33\n');
    expect(await terminal.ended()).toBe(0);
    expect(readFileSync(join(terminal.directory, 'secret'), 'utf8')).toBe('thr33\n');
  });

  it('does not overwrite a file, and refuses that before it asks', async () => {
    await using terminal = TmuxTerminal.run(`echo mine > secret; ${MAKE}`);
    expect(await terminal.ended()).toBe(5);
    expect(terminal.shown).toMatch(/already exists: it is not/);
    expect(terminal.shown).not.toContain('Passphrase:');
    expect(readFileSync(join(terminal.directory, 'secret'), 'utf8')).toBe('mine\n');
  });

  it('does not overwrite a file that is created while it asks', async () => {
    await using terminal = TmuxTerminal.run(MAKE);
    await terminal.until(/^Passphrase:/m);
    const file = join(terminal.directory, 'secret');
    writeFileSync(file, 'of another\n');
    terminal.type('thr33\nthr33\n');
    expect(await terminal.ended()).not.toBe(0);
    expect(readFileSync(file, 'utf8')).toBe('of another\n');
  });

  it.each([
    ['an empty passphrase', '\n', 5],
    ['Ctrl-C', '\u0003', 130],
  ])('leaves no file after %s', async (_, typed, status) => {
    await using terminal = TmuxTerminal.run(MAKE);
    await terminal.until(/^Passphrase:/m);
    terminal.type(typed);
    expect(await terminal.ended()).toBe(status);
    expect(readdirSync(terminal.directory).filter((name) => name.startsWith('secret'))).toEqual([]);
  });

  it('is refused without a terminal, and in a directory that does not exist', async () => {
    const run = spawnSync('setsid', ['--wait', COFFER, 'passphrase-file', '/nosuch/secret'], {
      encoding: 'utf8',
      input: 'a passphrase\n',
    });
    expect([run.status, run.stderr]).toEqual([5, expect.stringContaining('no terminal')]);
    await using terminal = TmuxTerminal.run('coffer passphrase-file /nosuch/secret');
    expect(await terminal.ended()).toBe(5);
    expect(terminal.shown).toContain('The directory /nosuch does not exist');
    expect(existsSync('/nosuch')).toBe(false);
  });
});
