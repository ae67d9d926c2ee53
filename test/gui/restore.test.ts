import { readFileSync } from 'node:fs';
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
});
