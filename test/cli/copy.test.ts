import { mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { Box, type Run } from './box.ts';
import { lastEvent } from './events.ts';

let box: Box;
/** The second place: a directory in the VM `vault`. */
let copies: string;
beforeEach(async () => {
  box = await Box.full(onTestFinished);
  copies = join(box.directory, 'homes/vault/copies');
  mkdirSync(copies, { recursive: true });
});

/** Without a passphrase, and without a terminal to ask for one. */
function copy(...words: readonly string[]): Run {
  return box.loud(['copy', '-d', 'usb', 'backups', '--to', 'vault', 'copies', '-y', ...words]);
}

const told = (run: Run): Record<string, unknown> => ({ ...lastEvent(run.stdout) });

describe('coffer copy', () => {
  it('copies a series to a place where it can be restored, and sends nothing twice', () => {
    const full = box.backUp().replace('backups/', '');
    writeFileSync(join(box.home, 'later'), 'x');
    const first = copy('--json');
    expect(first.status, first.stderr).toBe(0);
    expect(told(first)).toMatchObject({ files: [full], there: [], checked: true });

    const increment = box.goOn().replace('backups/', '');
    const second = copy('--json');
    expect(told(second)).toMatchObject({ files: [increment], there: [full] });
    const third = copy();
    expect(third.status).toBe(0);
    expect(third.stdout).toMatch(/^Copied 0 files/m);
    expect(third.stdout).toMatch(/^There already: 2 files, not read, /m);
    expect(copy('--compare').stdout).toMatch(/^There already: 2 files, read and compared\.$/m);
    expect(readdirSync(copies)).toEqual(readdirSync(box.backups));

    const words = ['-d', 'vault', ...box.secret, 'copies'];
    expect(box.loud(['verify', ...words, '--all']).status).toBe(0);
    expect(box.loud(['restore', '-y', '--rename-conflicting', ...words, 'work']).status).toBe(0);
  });

  it('reports with --compare a file that differs between the two places', () => {
    const file = box.backUp().replace('backups/', '');
    expect(copy().status).toBe(0);
    const bytes = readFileSync(join(copies, file));
    bytes.writeUInt8(bytes.readUInt8(1000) ^ 1, 1000);
    writeFileSync(join(copies, file), bytes);
    expect(copy().status).toBe(0);
    const compared = copy('--compare');
    expect(compared.status).toBe(4);
    expect(compared.stderr).toContain(`${file} in vault:`);
  });

  it('does not overwrite a file that has another size in the other place, and says so', () => {
    const file = box.backUp().replace('backups/', '');
    writeFileSync(join(copies, file), 'short');
    const run = copy();
    expect(run.status).toBe(4);
    expect(run.stdout).toMatch(/there with another size: not overwritten/);
    expect(statSync(join(copies, file)).size).toBe(5);
  });

  it('ignores other files, also if they differ in the two places', () => {
    box.backUp();
    writeFileSync(join(box.backups, 'notes.txt'), 'short');
    writeFileSync(join(copies, 'notes.txt'), 'not so short');
    const run = copy('--json');
    expect(told(run)).toMatchObject({ ok: true, exitStatus: 0, differing: [] });
    expect(run.status).toBe(0);
  });

  it('reports a backup that has lost its content here, but not there', () => {
    const backup = box.backUp();
    expect(copy().status).toBe(0);
    writeFileSync(box.fileOf(backup), '');
    expect(copy().status).toBe(4);
  });

  it('copies only complete backups, and no file whose name could be harmful', () => {
    const backup = readFileSync(box.fileOf(box.backUp()));
    const before = readdirSync(box.backups);
    for (const name of ['.bashrc', '-rf', 'a b', 'x.partial']) {
      writeFileSync(join(box.backups, name), backup);
    }
    writeFileSync(join(box.backups, 'qubes-backup-2026-01-01T000000'), 'not a backup');
    mkdirSync(join(box.backups, 'directory'));
    const run = copy();
    expect(run.status, run.stderr).toBe(0);
    expect(readdirSync(copies)).toEqual(before);
    expect(run.stdout).toMatch(
      /Not copied, because they are not complete backups, or .*: .*bashrc/,
    );
  });

  it('continues after it broke off, with the first file that was not copied', () => {
    box.backUp();
    box.goOn();
    const [first = '', second = ''] = readdirSync(box.backups);
    // A run that was killed leaves such a file.
    writeFileSync(join(copies, `${second}.partial`), '');
    const broken = copy();
    expect(broken.status).not.toBe(0);
    expect(readdirSync(copies)).toEqual([first, `${second}.partial`]);
    rmSync(join(copies, `${second}.partial`));
    expect(told(copy('--json'))).toMatchObject({ files: [second], there: [first] });
  });

  it.each([
    [
      ['copy', '-d', 'usb', 'backups', '-d', 'usb', '--to', 'usb', 'backups', '-y'],
      5,
      /same directory/,
    ],
    [['copy', '-d', 'usb', 'nosuch', '--to', 'vault', 'copies', '-y'], 5, /nosuch does not exist/],
    [['copy', '-d', 'usb', 'backups', '--to', 'vault', 'nosuch', '-y'], 5, /nosuch does not exist/],
    [['copy', '-d', 'usb', 'backups', '--to', 'vault', 'copies', '-y'], 5, /there are no backups/],
    [['copy', '-d', 'usb', 'backups', '--to', 'vault', 'copies'], 5, /no terminal to ask/],
    [['copy', '-d', 'usb', 'backups'], 2, /missing required argument 'TARGET'/],
  ])('refuses %j', (words, status, message) => {
    const run = box.loud(words);
    expect(run.stderr).toMatch(message);
    expect(run.status).toBe(status);
  });
});
