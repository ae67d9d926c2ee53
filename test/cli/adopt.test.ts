import { randomBytes } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { Box, type Run } from './box.ts';
import { eventsIn, lastEvent } from './events.ts';

const never = new AbortController().signal;

/** Changes some of the private volume of a VM. */
async function change(box: Box, name: string): Promise<void> {
  const system = await openFolderSystem(box.directory);
  async function* pieces(): AsyncGenerator<{ offset: number; bytes: Buffer }> {
    yield await Promise.resolve({ offset: 3_000_000, bytes: randomBytes(300_000) });
  }
  await system.importVolume(name, 'private', 8_000_000, pieces(), never);
}

function adopt(box: Box, ...words: string[]): Run {
  return box.loud(['adopt', '-d', 'usb', ...box.secret, ...words, 'backups']);
}

function backUp(box: Box, ...words: string[]): Run {
  const run = box.loud([
    ...['backup', '-d', 'usb', ...box.secret, '-y', '--no-check', ...words, 'backups'],
  ]);
  expect(run.status, run.stderr).toBe(0);
  return run;
}

function states(box: Box): string {
  return join(box.directory, 'dom0-state/series');
}

/** The state of a series that is kept in `directory`. */
function stateIn(directory: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(directory, 'state.json'), 'utf8')) as Record<string, unknown>;
}

function forget(box: Box): void {
  rmSync(states(box), { recursive: true });
}

function expectAllWhole(box: Box): void {
  for (const name of readdirSync(box.backups)) {
    const run = box.coffer(['verify', '-d', 'usb', ...box.secret, join('backups', name)]);
    expect(run, name).toMatchObject({ status: 0 });
  }
}

/** What a backup says that finds everything stored already. */
const NOTHING_NEW = /^0 of 3 VMs changed; 0 B new, /m;

describe('a backup to a directory with backups that dom0 does not know', () => {
  it('continues the series if the passphrase opens it, and sends nothing twice', async () => {
    const box = await Box.full();
    box.goOn();
    await change(box, 'work');
    box.goOn();
    forget(box);
    const run = backUp(box);
    expect(run.stdout.replace(/\s+/g, ' ')).toContain('2 backups there that dom0 does not know');
    expect(run.stdout).toMatch(NOTHING_NEW);
    expect(backUp(box).stdout).toMatch(NOTHING_NEW);
    expectAllWhole(box);
  }, 60_000);

  it('continues the series also if dom0 knows it from another place, and says so', async () => {
    const box = await Box.full();
    box.goOn();
    box.goOn(['--full']);
    const elsewhere = join(box.directory, 'homes/usb/elsewhere');
    renameSync(box.backups, elsewhere);
    mkdirSync(box.backups);
    const words = ['backup', '-d', 'usb', ...box.secret, '-y', 'elsewhere'];
    const run = box.loud(words);
    expect(run.status, run.stderr).toBe(0);
    expect(run.stderr).toContain('dom0 knew the backups there from another place');
    expect(run.stdout).toMatch(NOTHING_NEW);
    forget(box);
    renameSync(join(elsewhere, readdirSync(elsewhere)[0] ?? ''), join(box.directory, 'lost'));
    expect(box.loud(words).stderr).toContain('dom0 did not know the 2 backups there; this backup');
  });

  it('takes over a file of another machine once, even if there is a copy of it', async () => {
    const box = await Box.full();
    box.goOn();
    const before = join(box.directory, 'before');
    cpSync(states(box), before, { recursive: true });
    const second = box.fileOf(box.goOn());
    rmSync(states(box), { recursive: true });
    cpSync(before, states(box), { recursive: true });
    cpSync(second, `${second}-copy`);
    expect(backUp(box).stderr).toContain('dom0 did not know of');
    const told = lastEvent(box.loud(['status', '--json']).stdout);
    expect(told['series']).toMatchObject([{ backups: 3 }]);
    rmSync(`${second}-copy`);
    expect(backUp(box).stderr).not.toContain('lost');
  });

  it('begins a new series if the passphrase does not open the old one, and says so', async () => {
    const box = await Box.full();
    box.goOn();
    forget(box);
    writeFileSync(box.passphraseFile, 'another passphrase\n');
    const run = backUp(box);
    expect(run.stderr.replace(/\s+/g, ' ')).toMatch(
      /cannot be continued, so everything is stored: .* this passphrase/,
    );
    expect(run.stdout).toContain(', number 1, ');
    expect(run.stdout).not.toMatch(NOTHING_NEW);
  });

  it.each(['damaged', 'of another program'])('begins a new series if they are %s', async (what) => {
    const box = await Box.full();
    const first = box.goOn();
    const bytes = readFileSync(box.fileOf(first));
    writeFileSync(
      box.fileOf(first),
      what === 'damaged' ? bytes.subarray(0, bytes.length - 20_000) : randomBytes(100_000),
    );
    forget(box);
    const run = backUp(box);
    expect(run.stderr).toContain('cannot be continued, so everything is stored');
    expect(run.stdout).toContain(', number 1, ');
  });

  it('begins a new series with --new-series, and does not mention them', async () => {
    const box = await Box.full();
    box.goOn();
    forget(box);
    const run = backUp(box, '--new-series');
    expect(run.stdout).toContain(', number 1, ');
    expect(run.stdout).not.toContain('does not know');
  });
});

describe('coffer adopt', () => {
  it('restores all that dom0 knew of a series, so that nothing is stored twice', async () => {
    const box = await Box.full();
    box.goOn();
    await change(box, 'work');
    box.goOn(['-x', 'vault']);
    const [id = ''] = readdirSync(states(box)).filter((name) => !name.startsWith('.'));
    const known = join(box.directory, 'known');
    cpSync(join(states(box), id), known, { recursive: true });
    forget(box);
    const run = adopt(box);
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout).toMatch(/^A series of 2 backups in usb:\S+, .* did not know 2 files/m);
    expect(run.stdout).toContain('it reads everything once');
    const again = join(states(box), id);
    // When it was checked, and how long it took, is nothing that the storage is told.
    const inStorage = (state: Record<string, unknown>): unknown => ({
      ...state,
      files: (state['files'] as object[]).map((file) => ({
        ...file,
        ...{ check: undefined, effort: undefined },
      })),
    });
    expect(inStorage(stateIn(again))).toEqual(inStorage(stateIn(known)));
    const list = (path: string) =>
      (readdirSync(path, { recursive: true }) as string[])
        .filter((name) => /^[0-9a-f]{32}\/./.test(name))
        .sort();
    expect(list(again)).toEqual(list(known));
    for (const name of list(again)) {
      expect(readFileSync(join(again, name)).equals(readFileSync(join(known, name))), name).toBe(
        true,
      );
    }
    expect(backUp(box).stdout).toMatch(NOTHING_NEW);
    expectAllWhole(box);
  }, 120_000);

  it('does not announce that everything will be read if dom0 knew all files', async () => {
    const box = await Box.full();
    box.goOn();
    const run = adopt(box);
    expect(run.stdout).toContain('dom0 already knew all of them');
    expect(run.stdout).not.toContain('reads everything');
  });

  it('shows the same card of the series as a backup', async () => {
    const box = await Box.full();
    const [card = ''] = /series \w{8}, number 1, .*$/m.exec(backUp(box).stdout) ?? [];
    expect(card).not.toBe('');
    forget(box);
    const events = box.loud(['adopt', '--json', '-d', 'usb', ...box.secret, 'backups']);
    expect(lastEvent(events.stdout)).toMatchObject({
      ok: true,
      series: [{ sequence: 1, backups: 1, damaged: [], card }],
    });
    expect(box.loud(['list', '-d', 'usb', ...box.secret, 'backups']).stdout).toContain(card);
    forget(box);
    const plan = box.coffer(['backup', '--json', '--questions', '-d', 'usb', 'backups'], 'no\n');
    expect(eventsIn(plan.stdout).find(({ event }) => event === 'plan')).toMatchObject({
      series: null,
      unknown: { backups: 1 },
    });
  });

  it('shows the number of the newest backup on the card, although a pack has a higher one', async () => {
    const box = await Box.full();
    box.goOn();
    await change(box, 'work');
    box.goOn();
    const rule = ['-y', '--keep-last', '1'];
    expect(box.coffer(['prune', '-d', 'usb', ...box.secret, ...rule, 'backups']).status).toBe(0);
    expect(readdirSync(box.backups)).toContainEqual(expect.stringContaining('qubes-pack-'));
    forget(box);
    const [card = ''] = /series \w{8}, number \d+, .*$/m.exec(adopt(box).stdout) ?? [];
    expect(card).toContain(', number 2, ');
    expect(box.loud(['list', '-d', 'usb', ...box.secret, 'backups']).stdout).toContain(card);
  });

  it('adopts each series that the passphrase opens, and ignores damaged files', async () => {
    const box = await Box.full();
    box.goOn();
    const spoiled = box.goOn(['--full']);
    box.goOn(['--new-series']);
    const other = join(box.directory, 'other');
    writeFileSync(other, 'another passphrase\n');
    const words = ['-p', other, '-y', '--new-series', 'backups'];
    expect(box.coffer(['backup', '-d', 'usb', ...words]).status).toBe(0);
    const bytes = readFileSync(box.fileOf(spoiled));
    writeFileSync(box.fileOf(spoiled), bytes.subarray(0, bytes.length - 20_000));
    forget(box);
    const run = adopt(box);
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout.match(/^A series of 1 backup /gm)).toHaveLength(2);
    expect(run.stderr.replace(/\s+/g, ' ')).toContain(`${basename(spoiled)} in usb:`);
    expect(readdirSync(states(box)).filter((name) => /^\w{32}$/.test(name))).toHaveLength(2);
    expect(backUp(box).stdout).toMatch(NOTHING_NEW);
  });

  it('adopts a series beside another one of which all files are damaged, and names these', async () => {
    const box = await Box.full();
    const first = box.goOn();
    const [inMap, atEnd] = [0, 1].map(() => box.goOn(['--new-series']));
    const spoil = (backup = '', to = 0, from = to): void => {
      const bytes = readFileSync(box.fileOf(backup));
      for (let at = bytes.length - from; at < bytes.length - to; at += 512) bytes.writeInt8(1, at);
      writeFileSync(box.fileOf(backup), from === to ? bytes.subarray(0, -to) : bytes);
    };
    spoil(inMap, 12_000, 40_000);
    spoil(atEnd, 20_000);
    forget(box);
    const run = adopt(box);
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout.match(/^A series of /gm)).toHaveLength(1);
    for (const name of [inMap, atEnd]) {
      expect(run.stderr).toContain(`${basename(name ?? '')} in usb:`);
    }
    expect(backUp(box).stdout).toMatch(NOTHING_NEW);
    rmSync(box.fileOf(first));
    forget(box);
    rmSync(box.fileOf(join('backups', readdirSync(box.backups).sort().at(-1) ?? '')));
    const none = adopt(box);
    expect(none.status).toBe(3);
    expect(none.stderr).toMatch(/no backup in usb:\S+ is complete \(/);
  }, 60_000);

  it.each([
    ['no backup', (box: Box) => rmSync(box.fileOf(box.goOn())), 5, 'no backup made by coffer'],
    [
      'backups under another passphrase',
      (box: Box) => {
        box.goOn();
        writeFileSync(box.passphraseFile, 'another passphrase\n');
      },
      3,
      'no series of backups there has this passphrase',
    ],
  ] as const)('of a directory with %s is refused', async (_, prepare, status, why) => {
    const box = await Box.full();
    prepare(box);
    const run = adopt(box);
    expect(run.status).toBe(status);
    expect(run.stderr).toContain(why);
  });

  it('tells dom0 that a series has moved, and that it was rolled back to an older state', async () => {
    const box = await Box.full();
    box.goOn();
    const second = box.goOn();
    rmSync(box.fileOf(second));
    const moved = join(box.directory, 'homes/usb/moved');
    renameSync(box.backups, moved);
    const run = box.loud(['adopt', '-d', 'usb', ...box.secret, 'moved']);
    expect(run.status, run.stderr).toBe(0);
    const again = box.loud([
      ...['backup', '-d', 'usb', ...box.secret, '-y', '--no-check', 'moved'],
    ]);
    expect(again.stderr.replace(/\s+/g, ' ')).toContain(
      'may have been rolled back to an older state',
    );
    expect(again.stdout).toMatch(NOTHING_NEW);
    mkdirSync(box.backups);
  });

  it('uses no file that a signed list will delete', async () => {
    const box = await Box.full();
    const first = box.goOn();
    box.goOn(['--full']);
    const prune = box.coffer([
      ...['prune', '-d', 'usb', ...box.secret, '-y', '--keep-last', '1', '--list', 'backups'],
    ]);
    expect(prune.status, prune.stderr).toBe(0);
    forget(box);
    expect(adopt(box).status).toBe(0);
    rmSync(box.fileOf(first));
    const run = backUp(box);
    expect(run.stderr).not.toContain('lost');
    expect(run.stdout).toMatch(NOTHING_NEW);
  });

  it('can be repeated after it was killed at any moment, and loses nothing', async () => {
    const box = await Box.full();
    box.goOn();
    await change(box, 'work');
    box.goOn();
    const rounds = 6;
    for (let round = 0; round < rounds; round++) {
      rmSync(states(box), { recursive: true, force: true });
      const run = box.start(['adopt', '-d', 'usb', ...box.secret, 'backups']);
      const ended = new Promise((resolve) => run.once('exit', resolve));
      await sleep((round * 1200) / rounds);
      run.kill('SIGKILL');
      await ended;
      // Remains of the killed run do not disturb the next one.
      expect(adopt(box).status, String(round)).toBe(0);
    }
    expect(backUp(box).stdout).toMatch(NOTHING_NEW);
    expectAllWhole(box);
  }, 120_000);
});
