import { readdirSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { Desktop } from './desktop.ts';

describe('Back Up Qubes', () => {
  it('backs up the selected qubes to a directory of a qube, which can be restored', async () => {
    const box = await Box.full(onTestFinished);
    await using desktop = await Desktop.open('backup', box.directory);
    await desktop.sees(/qubes are in no backup/);
    await desktop.press('Choose…');
    await desktop.sees('Which qubes are to be backed up?');
    await desktop.press('Next');
    await desktop.choose('Target qube', 'usb');
    await desktop.type('Directory or command', 'backups');
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.type('Passphrase again', PASSPHRASE);
    await desktop.press('Next');
    await desktop.sees('Is this what you want to back up?');
    await desktop.press('Back up');
    await desktop.sees('The backup is complete');
    const [backup = ''] = readdirSync(box.backups);
    expect(box.coffer(['verify', '-d', 'usb', ...box.secret, `backups/${backup}`])).toMatchObject({
      status: 0,
    });
  }, 120_000);
});
