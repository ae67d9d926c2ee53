import { cpSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Box, type Run } from './box.ts';
import { lastEvent } from './events.ts';

/** A box with a backup, and a file with another passphrase. */
async function prepared(): Promise<{ box: Box; other: string; first: string }> {
  const box = await Box.full();
  const first = box.goOn();
  const other = join(box.directory, 'other');
  writeFileSync(other, 'another passphrase\n');
  return { box, other, first };
}

function change(box: Box, from: string, to: string, ...words: string[]): Run {
  return box.loud([
    ...['passphrase', '-d', 'usb', '-p', from, '--new-passphrase-file', to, ...words, 'backups'],
  ]);
}

function backUp(box: Box, passphrase: string): Run {
  return box.loud(['backup', '-d', 'usb', '-p', passphrase, '-y', '--no-check', 'backups']);
}

function newest(box: Box): string {
  return join('backups', readdirSync(box.backups).sort().at(-1) ?? '');
}

function wrappingOf(box: Box, backup: string): (string | undefined)[] {
  const header = readFileSync(box.fileOf(backup)).subarray(0, 4096).toString('latin1');
  return ['kdf-salt', 'series-key', 'series-key-mac', 'series-id'].map(
    (key) => new RegExp(`^${key}=(\\w+)$`, 'm').exec(header)?.[1],
  );
}

describe('coffer passphrase', () => {
  it('changes the passphrase of later backups, which continue the series', async () => {
    const { box, other, first } = await prepared();
    const run = change(box, box.passphraseFile, other);
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout).toContain('--new-series');
    expect(backUp(box, box.passphraseFile)).toMatchObject({ status: 3 });
    const next = backUp(box, other);
    expect(next.stdout).toMatch(/^0 of 3 VMs changed; 0 B new, /m);
    const second = newest(box);
    const verify = (backup: string, passphrase: string) =>
      box.coffer(['verify', '-d', 'usb', '-p', passphrase, backup]).status;
    expect(verify(first, box.passphraseFile)).toBe(0);
    expect(verify(first, other)).toBe(3);
    // It needs the first one, which has the same series key, wrapped under another passphrase.
    expect(verify(second, other)).toBe(0);
    expect(verify(second, box.passphraseFile)).toBe(3);
    const [one, two] = [wrappingOf(box, first), wrappingOf(box, second)];
    expect(one[3]).toBe(two[3]);
    for (const place of [0, 1, 2]) expect(one[place]).not.toBe(two[place]);
    const all = ['verify', '--all', '-d', 'usb', '-p', other, 'backups'];
    expect(box.coffer(all)).toMatchObject({ status: 0 });
  });

  it('says of which series, if there are several in the place', async () => {
    const { box, other } = await prepared();
    const one = change(box, box.passphraseFile, other).stdout;
    expect(one).toMatch(/^From now on, backups to usb:\S+ have the new passphrase\./m);
    const words = [
      'backup',
      '-d',
      'usb',
      '-p',
      box.passphraseFile,
      '-y',
      '--new-series',
      'backups',
    ];
    expect(box.loud(words)).toMatchObject({ status: 0 });
    const short = wrappingOf(box, newest(box))[3]?.slice(0, 8) ?? '';
    expect(change(box, box.passphraseFile, other).stdout).toContain(
      ` that continue the series ${short} have the new passphrase.`,
    );
  });

  it('is effective in an adopted series: the passphrase of the newest backup is needed', async () => {
    const { box, other } = await prepared();
    expect(change(box, box.passphraseFile, other, '--json').status).toBe(0);
    expect(backUp(box, other).status).toBe(0);
    const adopt = (passphrase: string): Run =>
      box.loud(['adopt', '--json', '-d', 'usb', '-p', passphrase, 'backups']);
    expect(adopt(box.passphraseFile).status).toBe(3);
    expect(lastEvent(adopt(other).stdout)).toMatchObject({ ok: true, series: [{ backups: 2 }] });
    expect(backUp(box, other).stdout).toMatch(/^0 of 3 VMs changed; 0 B new, /m);
  });

  it('remains effective if backups that dom0 knows are adopted with the old passphrase', async () => {
    const { box, other } = await prepared();
    expect(change(box, box.passphraseFile, other).status).toBe(0);
    expect(box.loud(['adopt', '-d', 'usb', ...box.secret, 'backups']).status).toBe(0);
    expect(backUp(box, box.passphraseFile)).toMatchObject({ status: 3 });
    expect(backUp(box, other).status).toBe(0);
  });

  it('on another machine is noticed by the next backup, which accepts both passphrases once', async () => {
    for (const isOld of [true, false]) {
      const { box, other, first } = await prepared();
      // The state of a machine that knows neither of the change nor of the backup after it.
      const states = join(box.directory, 'dom0-state');
      const before = join(box.directory, 'before');
      cpSync(states, before, { recursive: true });
      expect(change(box, box.passphraseFile, other).status).toBe(0);
      expect(backUp(box, other).status).toBe(0);
      const second = newest(box);
      rmSync(states, { recursive: true });
      renameSync(before, states);
      const run = backUp(box, isOld ? box.passphraseFile : other);
      expect(run.status, run.stderr).toBe(0);
      expect(run.stderr.replace(/\s+/g, ' ')).toContain('has changed the passphrase');
      expect(run.stdout).toMatch(/^0 of 3 VMs changed; 0 B new, /m);
      expect(wrappingOf(box, newest(box))).toEqual(wrappingOf(box, second));
      expect(wrappingOf(box, newest(box))).not.toEqual(wrappingOf(box, first));
      expect(backUp(box, box.passphraseFile)).toMatchObject({ status: 3 });
      const again = backUp(box, other);
      expect(again.status, again.stderr).toBe(0);
      expect(again.stderr).not.toContain('passphrase');
    }
  }, 60_000);

  it('is not believed of a forged header, with which a wrong passphrase remains refused', async () => {
    const { box, other, first } = await prepared();
    const bytes = readFileSync(box.fileOf(first));
    // Another salt, which is not authenticated.
    const forged = bytes.subarray(0);
    forged.write('ab'.repeat(32), forged.indexOf('kdf-salt=') + 'kdf-salt='.length, 'latin1');
    writeFileSync(join(box.backups, 'qubes-backup-2031-01-01T000000'), forged);
    expect(backUp(box, other)).toMatchObject({ status: 3 });
    const run = backUp(box, box.passphraseFile);
    expect(run.stderr).not.toContain('has changed the passphrase');
    expect(run.status, run.stderr).toBe(0);
  });

  it('is refused without the old passphrase, and for a directory of which dom0 knows no backups', async () => {
    const { box, other } = await prepared();
    expect(change(box, other, box.passphraseFile)).toMatchObject({ status: 3 });
    expect(backUp(box, box.passphraseFile).status).toBe(0);
    const elsewhere = box.loud(['passphrase', '-d', 'usb', ...box.secret, '.']);
    expect(elsewhere).toMatchObject({ status: 5 });
    expect(elsewhere.stderr).toContain('coffer adopt');
    const unasked = box.loud(['passphrase', '-d', 'usb', ...box.secret, 'backups']);
    expect(unasked).toMatchObject({ status: 5 });
    expect(unasked.stderr).toContain('use --new-passphrase-file');
    expect(change(box, box.passphraseFile, other).stderr).not.toContain('passphrase for later');
  });

  it('leaves exactly one passphrase that is accepted if it is killed at any moment', async () => {
    const { box, other } = await prepared();
    const rounds = 6;
    for (let round = 0; round < rounds; round++) {
      const words = ['-p', box.passphraseFile, '--new-passphrase-file', other];
      const run = box.start(['passphrase', '-d', 'usb', ...words, 'backups']);
      const ended = new Promise((resolve) => run.once('exit', resolve));
      await sleep((round * 1000) / rounds);
      run.kill('SIGKILL');
      await ended;
      const accepted = [box.passphraseFile, other].filter(
        (passphrase) => change(box, passphrase, passphrase).status === 0,
      );
      expect(accepted).toHaveLength(1);
      if (accepted[0] === other) change(box, other, box.passphraseFile);
    }
    expect(backUp(box, box.passphraseFile).stdout).toMatch(/^0 of 3 VMs changed; 0 B new, /m);
  }, 120_000);
});
