import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { Desktop } from './desktop.ts';

/** Goes on to the review of a backup of all VMs. */
async function fillIn(desktop: Desktop, where: string, isCommand = false): Promise<void> {
  await desktop.press('Choose…');
  await desktop.sees('Which qubes are to be backed up?');
  await desktop.press('Next');
  await desktop.choose('Target qube', 'usb');
  await desktop.type('Directory or command', where);
  if (isCommand) await desktop.press('This is a command that takes the backup');
  await desktop.type('Passphrase', PASSPHRASE);
  await desktop.type('Passphrase again', PASSPHRASE);
  await desktop.press('Next');
}

describe('Back Up Qubes', () => {
  it('backs up the selected qubes to a directory of a qube, where a backup is found that is whole', async () => {
    const box = await Box.full(onTestFinished);
    await using desktop = await Desktop.open('backup', box.directory);
    await desktop.sees(/qubes are in no backup/);
    await fillIn(desktop, 'missing');
    await desktop.sees(/The directory missing does not exist/);
    await desktop.type('Directory or command', 'backups');
    await desktop.press('Next');
    await desktop.sees('Is this what you want to back up?');
    await desktop.press('Back up');
    await desktop.sees('The backup is complete');
    const [backup = ''] = readdirSync(box.backups);
    expect(box.coffer(['verify', '-d', 'usb', ...box.secret, `backups/${backup}`])).toMatchObject({
      status: 0,
    });
  }, 120_000);

  it('goes on when its window is hidden, and comes back with the result', async () => {
    const box = await Box.full(onTestFinished);
    await using desktop = await Desktop.open('backup', box.directory);
    const gate = path.join(box.directory, 'gate');
    await fillIn(desktop, `until [ -e ${gate} ]; do sleep 0.1; done; cat >/dev/null`, true);
    await desktop.press('Back up');
    await desktop.press('Hide this window');
    await desktop.seesNothing();
    writeFileSync(gate, '');
    await desktop.sees('The backup is complete');
  }, 120_000);

  it('stops when that is confirmed, and does not claim success', async () => {
    const box = await Box.full(onTestFinished);
    await using desktop = await Desktop.open('backup', box.directory);
    await fillIn(desktop, 'sleep 60; cat >/dev/null', true);
    await desktop.press('Back up');
    await desktop.press('Stop…');
    await desktop.press('Stop');
    await desktop.sees('Nothing was backed up');
    await desktop.sees(/interrupted/);
  }, 120_000);

  it('shows the last words of a coffer that is killed', async () => {
    const box = await Box.full(onTestFinished);
    const program = path.join(box.directory, 'dying');
    writeFileSync(program, '#!/bin/sh\necho the last words >&2\nkill -9 $$\n', { mode: 0o755 });
    await using desktop = await Desktop.open('backup', box.directory, { program });
    await desktop.sees('Nothing was backed up');
    await desktop.sees(/the last words/);
  }, 120_000);
});
