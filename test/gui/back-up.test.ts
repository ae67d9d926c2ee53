import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Box, PASSPHRASE } from '../cli/box.ts';
import { StorageCommand } from '../transport/storage-command.ts';
import { Desktop } from './desktop.ts';

/** Goes to the page that asks where the backup of all VMs should go. */
async function whereTo(desktop: Desktop): Promise<void> {
  await desktop.press('Choose…');
  await desktop.sees('Which qubes do you want to back up?');
  await desktop.press('Next');
  await desktop.choose('Target qube', 'usb');
}

/** Goes to the review of a backup of all VMs into a command. */
async function fillInCommand(desktop: Desktop, command: string): Promise<void> {
  await whereTo(desktop);
  await desktop.choose('Kind of place', 'a command that receives the backup');
  await desktop.type('Directory or command', command);
  await desktop.type('Passphrase', PASSPHRASE);
  await desktop.type('Passphrase again', PASSPHRASE);
  await desktop.press('Next');
}

describe('Back Up Qubes', () => {
  it('backs up the selected qubes to a directory of a qube, and verifies the backup', async () => {
    const box = await Box.full(onTestFinished);
    await using desktop = await Desktop.open('backup', box.directory);
    await desktop.sees(/qubes are in no backup/);
    await whereTo(desktop);
    await desktop.type('Directory or command', 'missing');
    await desktop.sees(/The directory missing does not exist/);
    await desktop.type('Directory or command', 'backups');
    await desktop.sees(/is free there/);
    await desktop.type('Passphrase', 'qwerty');
    await desktop.sees(/Very weak/);
    await desktop.type('Passphrase again', PASSPHRASE);
    await desktop.sees('The two passphrases differ.');
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.sees('Is this what you want to back up?');
    await desktop.press('Back up');
    await desktop.sees('The backup is complete');
    const [backup = ''] = readdirSync(box.backups);
    expect(box.coffer(['verify', '-d', 'usb', ...box.secret, `backups/${backup}`])).toMatchObject({
      status: 0,
    });
    await desktop.press('Verify now');
    await desktop.sees('The backup is complete and authentic');
    const settings = readFileSync(path.join(desktop.home, '.config/coffer/window-1.conf'), 'utf8');
    expect(settings).toMatch(/location = backups/);
    expect(settings).not.toContain(PASSPHRASE);
  }, 120_000);

  it('repeats the last backup, and forgets old backups by rules', async () => {
    const box = await Box.full(onTestFinished);
    const home = path.join(box.directory, 'user');
    const profiles = path.join(home, '.config/coffer');
    mkdirSync(profiles, { recursive: true });
    const lines = ['dest-vm = usb', 'location = backups'];
    writeFileSync(path.join(profiles, 'window-1.conf'), lines.join('\n'));
    // The second needs nothing of the first.
    box.backUp();
    box.backUp();
    await using desktop = await Desktop.open('backup', box.directory, { home });
    await desktop.press('Forget old backups…');
    await desktop.sees('Where are the old backups?');
    await desktop.type('Passphrase', 'wrong');
    await desktop.press('Next');
    await desktop.sees(/passphrase is wrong/);
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.sees(/^1 of 2 backups is deleted/);
    await desktop.press('Back');
    await desktop.sees('Where are the old backups?');
    await desktop.press('Back');
    await desktop.press('Back up now');
    await desktop.sees(/It continues from the 2 backups/);
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.press('Back up');
    await desktop.sees('The backup is complete');
    expect(readdirSync(profiles)).toEqual(['window-2.conf']);

    await desktop.press('Forget old backups…');
    await desktop.choose('Keep', 'custom');
    await desktop.type('Newest backups', '3');
    await desktop.sees('3 backups, all of which are kept.');
    await desktop.choose('Keep', 'few');
    await desktop.sees(/^1 of 3 backups is deleted/);
    await desktop.press('Forget the others');
    await desktop.sees('Old backups were forgotten');
    expect(readdirSync(box.backups)).toHaveLength(2);
  }, 120_000);

  it('continues a series in the directory, and checks its passphrase before the review', async () => {
    const box = await Box.full(onTestFinished);
    box.backUp();
    await using desktop = await Desktop.open('backup', box.directory);
    await whereTo(desktop);
    await desktop.type('Directory or command', 'backups');
    await desktop.sees(/It continues from the backup there/);
    await desktop.type('Passphrase', 'wrong');
    await desktop.press('Next');
    await desktop.sees(/passphrase is wrong/);
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.sees(/^It continues from the backup there/);
    await desktop.sees(/^If all of that has to be read, it takes about \d+ s, /);
    await desktop.sees(/^The last backup took \d+ s: .* was read, .* was new\.$/);
    await desktop.press('Back up');
    await desktop.sees('The backup is complete');
    await desktop.sees(/was already there/);
    expect(readdirSync(box.backups)).toHaveLength(2);
  }, 120_000);

  it('backs up through a command, which it runs only after a press on “Look there”', async () => {
    const box = await Box.full(onTestFinished);
    const far = path.join(box.directory, 'far-away');
    mkdirSync(far);
    const storageCommand = new StorageCommand(path.join(box.directory, 'homes/usb'));
    await using desktop = await Desktop.open('backup', box.directory);
    await whereTo(desktop);
    await desktop.choose('Kind of place', 'a place that a command leads to');
    await desktop.sees('Enter the command that leads there.');
    await desktop.type('Command that leads there', storageCommand.command);
    await desktop.type('Directory or command', far);
    await desktop.sees(/^Press “Look there” when the place is complete/);
    expect(storageCommand.asked()).toEqual([]);
    await desktop.press('Look there');
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.type('Passphrase again', PASSPHRASE);
    await desktop.press('Next');
    await desktop.press('Back up');
    await desktop.sees('The backup is complete');
    expect(readdirSync(far)).toHaveLength(1);
    await desktop.press('Verify now');
    await desktop.sees('The backup is complete and authentic');
    const settings = readFileSync(path.join(desktop.home, '.config/coffer/window-1.conf'), 'utf8');
    expect(settings).toContain(`through = ${storageCommand.command}`);
  }, 120_000);

  it('offers to continue a series that dom0 does not know, or to begin another one', async () => {
    const box = await Box.full(onTestFinished);
    box.backUp();
    rmSync(path.join(box.directory, 'dom0-state'), { recursive: true });
    await using desktop = await Desktop.open('backup', box.directory);
    await whereTo(desktop);
    await desktop.type('Directory or command', 'backups');
    const { name } = await desktop.sees(/Continue the series of/);
    await desktop.sees(/dom0 does not know it/);
    await desktop.press(name);
    await desktop.sees(/A new series begins next to it/);
    await desktop.sees('Passphrase again');
    await desktop.press(name);
    await desktop.type('Passphrase', 'wrong');
    await desktop.press('Next');
    await desktop.sees(/no series of backups there has this passphrase/);
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.sees(/It continues from the backup there/);
    await desktop.press('Back up');
    await desktop.sees('The backup is complete');
    await desktop.sees(/was already there/);
  }, 120_000);

  it('begins with backups that dom0 does not know, and fills in where they are', async () => {
    const box = await Box.full(onTestFinished);
    box.backUp();
    rmSync(path.join(box.directory, 'dom0-state'), { recursive: true });
    await using desktop = await Desktop.open('backup', box.directory);
    await desktop.press('Continue other backups…');
    await desktop.sees('Where are the other backups?');
    await desktop.choose('Qube', 'usb');
    await desktop.type('Directory', 'backups');
    await desktop.type('Passphrase', 'wrong');
    await desktop.press('Next');
    await desktop.sees(/no series of backups there has this passphrase/);
    await desktop.type('Passphrase', PASSPHRASE);
    await desktop.press('Next');
    await desktop.sees('Your backups');
    await desktop.sees(/^dom0 knows the backups in usb:backups now/);
    await desktop.press('Choose…');
    await desktop.press('Next');
    await desktop.sees('Where should the backup go?');
    await desktop.sees(/It continues from the backup there/);
    await desktop.press('Next');
    await desktop.press('Back up');
    await desktop.sees('The backup is complete');
    await desktop.sees(/was already there/);
    expect(readdirSync(box.backups)).toHaveLength(2);
  }, 120_000);

  it('continues while its window is hidden, and shows it again with the result', async () => {
    const box = await Box.full(onTestFinished);
    await using desktop = await Desktop.open('backup', box.directory);
    const gate = path.join(box.directory, 'gate');
    await fillInCommand(desktop, `until [ -e ${gate} ]; do sleep 0.1; done; cat >/dev/null`);
    await desktop.press('Back up');
    await desktop.press('Hide this window');
    await desktop.seesNothing();
    writeFileSync(gate, '');
    await desktop.sees('The backup is complete');
  }, 120_000);

  it('is completed even if its window is killed', async () => {
    const box = await Box.full(onTestFinished);
    await using desktop = await Desktop.open('backup', box.directory);
    const gate = path.join(box.directory, 'gate');
    const file = path.join(box.directory, 'file');
    await fillInCommand(desktop, `until [ -e ${gate} ]; do sleep 0.1; done; cat > ${file}`);
    await desktop.press('Back up');
    await desktop.sees('Hide this window');
    await desktop.sees('Sending data to the storage …');
    desktop.kill();
    await desktop.seesNothing();
    writeFileSync(gate, '');
    const verify = ['verify', '-d', 'usb', ...box.secret, '--command', `cat ${file}`];
    await desktop.seesEventually(() => box.coffer(verify).status === 0);
  }, 120_000);

  it('is not begun if its window is closed before', async () => {
    const box = await Box.full(onTestFinished);
    await using desktop = await Desktop.open('backup', box.directory);
    const file = path.join(box.directory, 'file');
    await fillInCommand(desktop, `cat > ${file}`);
    await desktop.sees('Is this what you want to back up?');
    const { children } = desktop;
    expect(children).not.toEqual([]);
    await desktop.press('Cancel');
    await desktop.seesNothing();
    await desktop.seesEventually(() => !children.some((id) => existsSync(`/proc/${id}`)));
    expect(existsSync(file)).toBe(false);
  }, 120_000);

  it('can be stopped, and then reports that', async () => {
    const box = await Box.full(onTestFinished);
    await using desktop = await Desktop.open('backup', box.directory);
    await fillInCommand(desktop, 'sleep 60; cat >/dev/null');
    await desktop.press('Back up');
    await desktop.press('Stop…');
    await desktop.press('Stop');
    await desktop.sees('The backup was stopped');
    await desktop.sees(/interrupted/);
  }, 120_000);

  it('can be used with the keyboard alone', async () => {
    const box = await Box.full(onTestFinished);
    await using desktop = await Desktop.open('backup', box.directory);
    await desktop.sees('Your backups');
    await desktop.pressKey('h', { withAlt: true });
    await desktop.sees('Which qubes do you want to back up?');
    await desktop.tabTo('Next');
    await desktop.pressKey('space');
    await desktop.sees('Where should the backup go?');
    for (const [label, text] of [
      ['Directory or command', 'backups'],
      ['Passphrase', 'keys'],
      ['Passphrase again', 'keys'],
    ] as const) {
      await desktop.tabTo(label);
      await desktop.pressKeys(text);
    }
    await desktop.find('Next', ({ name, isEnabled }) => name === 'Next' && isEnabled);
    await desktop.pressKey('Return');
    await desktop.sees('Is this what you want to back up?');
    await desktop.pressKey('Return');
    await desktop.sees('The backup is complete');
    await desktop.pressKey('Return');
    await desktop.seesNothing();
    expect(readdirSync(box.backups)).toHaveLength(1);
  }, 120_000);
});
