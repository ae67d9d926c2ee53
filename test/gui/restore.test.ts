import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { StorageCommand } from '../transport/storage-command.ts';
import { Desktop } from './desktop.ts';

describe('Restore Qubes', () => {
  it('restores the selected qubes of the newest backup in a directory, under new names if theirs are taken', async () => {
    const box = await Box.full(onTestFinished);
    box.coffer(['backup', '-d', 'usb', ...box.secret, '-y', 'backups', 'work', 'vault']);
    await using desktop = await Desktop.open('restore', box.directory);
    await desktop.choose('Qube', 'usb');
    await desktop.type('Directory, file or command', 'backups');
    await desktop.type('Passphrase', 'wrong');
    await desktop.press('Next');
    await desktop.sees(/it has another passphrase/);
    await desktop.press('Next');
    await desktop.sees(/passphrase is wrong/);
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.sees('Which backup?');
    await desktop.press('Next');
    await desktop.sees('Which qubes do you want to restore?');
    await desktop.sees('Select at least one qube.');
    await desktop.press('Select all');
    await desktop.sees('There is a qube called work here.');
    await desktop.type('Name of work here', 'usb');
    await desktop.sees('Enter another name for work: usb is taken here.');
    await desktop.type('Name of work here', 'my work');
    await desktop.press('Next');
    await desktop.sees(/work cannot be restored as my work: a name begins/);
    await desktop.type('Name of work here', 'former-work');
    await desktop.press('Next');
    await desktop.sees('How do you want to restore them?');
    await desktop.press('Next');
    await desktop.sees(/work as former-work/);
    await desktop.press('Restore');
    await desktop.sees('Everything was restored');
    await desktop.sees(/vault-1: restored/);
    const image = (name: string): Buffer =>
      readFileSync(path.join(box.directory, 'appvms', name, 'private.img'));
    expect(image('former-work').equals(image('work'))).toBe(true);
  }, 120_000);

  it('opens a backup in a directory behind a command', async () => {
    const box = await Box.full(onTestFinished);
    box.backUp();
    const storageCommand = new StorageCommand(path.join(box.directory, 'homes/usb'));
    await using desktop = await Desktop.open('restore', box.directory);
    await desktop.choose('Qube', 'usb');
    await desktop.choose('Kind of place', 'a place that a command leads to');
    await desktop.type('Command that leads there', storageCommand.command);
    await desktop.type('Directory, file or command', box.backups);
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.sees('Which backup?');
    await desktop.press('Next');
    await desktop.sees('Which qubes do you want to restore?');
  }, 120_000);

  it('shows what is damaged in a backup that is only verified', async () => {
    const box = await Box.full(onTestFinished);
    const backup = box.backUp(['--compress-filter', 'none']);
    box.damage(backup);
    await using desktop = await Desktop.open('restore', box.directory);
    await desktop.choose('Qube', 'usb');
    await desktop.type('Directory, file or command', backup);
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.sees('Which qubes do you want to restore?');
    await desktop.press('Select all');
    await desktop.press('Verify only: everything is read and checked, nothing is restored');
    await desktop.press('Next');
    await desktop.sees('The backup is damaged or incomplete');
    await desktop.sees(/: damaged/);
  }, 120_000);

  it('can be stopped, and then removes what is incomplete', async () => {
    const box = await Box.full(onTestFinished);
    const backup = box.backUp();
    await using desktop = await Desktop.open('restore', box.directory);
    await desktop.choose('Qube', 'usb');
    await desktop.choose('Kind of place', 'a command that outputs the backup');
    const gate = path.join(box.directory, 'gate');
    const file = box.fileOf(backup);
    const slowly = `if [ -e ${gate} ]; then head -c 200000 ${file}; sleep 60; fi; cat ${file}`;
    await desktop.type('Directory, file or command', slowly);
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.press('work');
    await desktop.press('Next');
    await desktop.sees('How do you want to restore them?');
    writeFileSync(gate, '');
    await desktop.press('Next');
    await desktop.sees(/work as work-1/);
    await desktop.press('Restore');
    await desktop.press('Stop…');
    await desktop.sees('Stop restoring? Incomplete qubes are removed.');
    await desktop.press('Stop');
    await desktop.sees('The restore was stopped');
    expect(existsSync(path.join(box.directory, 'appvms/work-1'))).toBe(false);
  }, 120_000);

  it('can be used with the keyboard alone', async () => {
    const box = await Box.full(onTestFinished);
    const backup = box.backUp();
    await using desktop = await Desktop.open('restore', box.directory);
    await desktop.sees('Where is the backup?');
    const isChosen = (qube: string) =>
      desktop.find(qube, ({ role, name }) => role === 'combo box' && name === qube);
    await isChosen('usb');
    await desktop.pressKey('q', { withAlt: true });
    await desktop.pressKey('Down');
    await isChosen('vault');
    await desktop.pressKey('Up');
    await isChosen('usb');
    await desktop.pressKey('d', { withAlt: true });
    await desktop.pressKeys(backup);
    await desktop.pressKey('a', { withAlt: true });
    await desktop.pressKeys(PASSPHRASE);
    await desktop.pressKey('Return');
    await desktop.sees('Which qubes do you want to restore?');
    await desktop.tabTo('vault');
    await desktop.pressKey('space');
    await desktop.sees('There is a qube called vault here.');
    await desktop.pressKey('n', { withAlt: true });
    await desktop.sees('How do you want to restore them?');
    await desktop.pressKey('n', { withAlt: true });
    await desktop.sees('Is this what you want to restore?');
    await desktop.pressKey('Return');
    await desktop.sees('Everything was restored');
    await desktop.pressKey('Return');
    await desktop.seesNothing();
    expect(existsSync(path.join(box.directory, 'appvms/vault-1'))).toBe(true);
  }, 120_000);
});
