import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { newOwnerName } from '../../dom0-agent/qubes/owner-names.ts';
import { eventually } from '../eventually.ts';
import { withPreloaded } from '../test-run.ts';
import { Box, type Run } from './box.ts';
import { type Told, lastEvent } from './events.ts';

const COFFER = new URL('../../dist/coffer', import.meta.url).pathname;

interface Check {
  readonly at: string;
  readonly result: string;
}

function coffer(box: Box, command: string, ...words: string[]): Run {
  return box.loud([command, '--json', '-d', 'usb', ...box.secret, ...words]);
}

/** The last check of each file in the directory, the oldest file first. */
function checks(box: Box): (Check | null)[] {
  const listed = lastEvent(coffer(box, 'list', 'backups').stdout)['backups'];
  return (listed as { check: Check | null }[]).map(({ check }) => check).reverse();
}

function series(box: Box): Told {
  const [only] = lastEvent(box.loud(['status', '--json']).stdout)['series'] as Told[];
  if (only === undefined) throw new Error('no series is known');
  return only;
}

function names(run: Run): string[] {
  return (lastEvent(run.stdout)['files'] as { name: string }[]).map(({ name }) => name);
}

describe('the last check of a file of a series', () => {
  it('is shown by list and status, after a backup, a verify and a verify --all', async () => {
    const box = await Box.full();
    box.goOn();
    expect(checks(box)).toMatchObject([{ result: 'verified' }]);
    const second = box.goOn(['--no-check']);
    expect(checks(box)).toMatchObject([{ result: 'verified' }, null]);
    expect(series(box)).toMatchObject({ backups: 2, checkedSince: null, damaged: [] });
    expect(box.loud(['status']).stdout).toContain('not all files have been checked');
    expect(coffer(box, 'verify', second, 'work').status).toBe(0);
    expect(checks(box)[1]).toBeNull();
    expect(coffer(box, 'verify', second).status).toBe(0);
    expect(checks(box)).toMatchObject([{ result: 'verified' }, { result: 'verified' }]);
    const third = box.goOn(['--no-check']);
    expect(coffer(box, 'verify', '--all', third).status).toBe(0);
    expect(checks(box)[2]).toMatchObject({ result: 'verified' });
    expect(series(box)).toMatchObject({ checkedSince: checks(box)[0]?.at });
    expect(box.loud(['status']).stdout).toMatch(
      /^The 3 backups in usb:\S+: the last 0 h ago; every file has been checked /m,
    );
  });

  it('decides which file verify --rolling reads, so that it reads each file in turn', async () => {
    const box = await Box.full();
    const all = [0, 1, 2].map(() => basename(box.backUp(['--no-check'])));
    const read: string[] = [];
    for (let run = 0; run < 3; run++) {
      const rolled = coffer(box, 'verify', '--rolling', 'backups');
      expect(rolled.status).toBe(0);
      expect(names(rolled)).toHaveLength(1);
      read.push(...names(rolled));
    }
    expect(read.sort()).toEqual(all);
    expect(series(box)['checkedSince']).not.toBeNull();
  });

  it('does not count if it was in the future: the clock was wrong, and verify --rolling reads the file', async () => {
    const box = await Box.full();
    const clock = withPreloaded(new URL('fixed-clock.cjs', import.meta.url).pathname);
    const ahead = { NODE_OPTIONS: clock, FIXED_CLOCK: '2099-01-01T12:00:00Z', TZ: 'UTC' };
    const words = ['backup', '-d', 'usb', ...box.secret, '-y', 'backups'];
    expect(box.coffer(words, '', ahead)).toMatchObject({ status: 0 });
    box.goOn(['--full']);
    expect(series(box)['checkedSince']).toBeNull();
    const rolled = coffer(box, 'verify', '--rolling', 'backups');
    expect(names(rolled)).toEqual(['qubes-backup-2099-01-01T120000']);
    expect(series(box)['checkedSince']).not.toBeNull();
  });

  it.each(['--all', '--rolling'])(
    'is of whole files, so verify %s refuses names of VMs',
    async (option) => {
      const box = await Box.full();
      box.goOn();
      const run = coffer(box, 'verify', option, 'backups', 'work');
      expect(run).toMatchObject({ status: 2 });
      expect(run.stderr).toContain('leave out work');
    },
  );

  it('is shown for each series of a directory under its own name', async () => {
    const box = await Box.full();
    box.goOn();
    expect(box.loud(['status']).stdout).not.toContain('(series ');
    box.goOn(['--new-series']);
    const lines = box.loud(['status']).stdout.match(/^The backup in usb:\S+ \(series \w{8}\): /gm);
    expect(new Set(lines).size).toBe(2);
    const newest = box.loud(['list', '-d', 'usb', ...box.secret, 'backups']).stdout;
    expect(newest.match(/^The newest backup of its series: series /gm)).toHaveLength(2);
  });

  it('is recorded after the result was shown, as that may have to wait for a backup', async () => {
    const box = await Box.full();
    const backup = box.goOn();
    const lock = createHash('sha256').update(`usb:${box.backups}`).digest('hex').slice(0, 16);
    // This process has the lock, as a backup would.
    const path = join(box.directory, 'dom0-state/series', `.${lock}.lock`);
    symlinkSync(await newOwnerName(), path);
    for (const words of [[backup], ['--all', 'backups']]) {
      const own = ['--system', box.directory, '-d', 'usb', ...box.secret];
      const run = spawn(COFFER, ['verify', ...own, ...words], { cwd: join(box.backups, '..') });
      const ended = once(run, 'close');
      let shown = '';
      run.stdout.on('data', (text: Buffer) => (shown += text.toString()));
      let told = '';
      run.stderr.on('data', (text: Buffer) => (told += text.toString()));
      await eventually(() => told.includes('waiting for a backup'), 'it waits');
      run.kill('SIGINT');
      expect((await ended)[0]).toBe(130);
      expect(shown).toContain('Verified: ');
    }
    rmSync(path);
  });

  it('may be impossible to record, which verify says after it has verified everything', async () => {
    const box = await Box.full();
    const backup = box.goOn();
    // As if the lock could not be made, on a disk that is full or cannot be written.
    const lock = createHash('sha256').update(`usb:${box.backups}`).digest('hex').slice(0, 16);
    mkdirSync(join(box.directory, 'dom0-state/series', `.${lock}.lock`));
    for (const words of [[backup], ['--all', 'backups']]) {
      const run = box.loud(['verify', '-d', 'usb', ...box.secret, ...words]);
      expect(run.status, run.stderr).toBe(0);
      expect(run.stdout).toContain('Verified: ');
      expect(run.stderr).toContain('it could not be recorded when this was checked');
    }
  });

  it('is only known to dom0: without its state, verify --rolling is refused', async () => {
    const box = await Box.full();
    box.goOn();
    rmSync(join(box.directory, 'dom0-state'), { recursive: true });
    const run = coffer(box, 'verify', '--rolling', 'backups');
    expect(lastEvent(run.stdout)).toMatchObject({ event: 'error', exitStatus: 5 });
    expect(run.stderr).toContain('coffer adopt');
  });
});

describe.each([['--all'], ['--rolling']])('a file that verify %s finds damaged', (option) => {
  it('is no longer referred to: the next backup stores its data again', async () => {
    const box = await Box.full();
    const first = box.goOn(['--no-check']);
    const bytes = readFileSync(box.fileOf(first));
    const spoiled = Buffer.from(bytes);
    // A single byte, which the samples that a backup checks may miss.
    spoiled[200_000] = (spoiled[200_000] ?? 0) ^ 1;
    writeFileSync(box.fileOf(first), spoiled);
    const run = coffer(box, 'verify', option, 'backups');
    expect(run.status).toBe(3);
    expect(series(box)).toMatchObject({ damaged: [basename(first)] });
    const again = coffer(box, 'backup', '-y', 'backups');
    expect(lastEvent(again.stdout)).toMatchObject({ ok: true });
    expect(lastEvent(again.stdout)['newBytes']).toBeGreaterThan(0);
    const second = join('backups', readdirSync(box.backups).sort().at(-1) ?? '');
    expect(coffer(box, 'verify', second).status).toBe(0);
    expect(box.loud(['list', '-d', 'usb', ...box.secret, 'backups']).stdout).toContain(
      'found damaged',
    );
  });

  it('is recorded as such also if nothing shows any more that it was a file of the series', async () => {
    const box = await Box.full();
    const [first = ''] = [0, 1].map(() => box.backUp(['--no-check']));
    const bytes = readFileSync(box.fileOf(first));
    writeFileSync(box.fileOf(first), bytes.fill(0, 0, 1024));
    const run = coffer(box, 'verify', option, 'backups');
    expect(run.status).toBe(3);
    expect(run.stderr).toContain(`${basename(first)}: it does not begin as it did`);
    expect(series(box)).toMatchObject({ damaged: [basename(first)] });
    rmSync(box.fileOf(first));
    expect(coffer(box, 'verify', '--all', 'backups').stderr).toContain('it is missing');
  });
});

describe('verify --compare', () => {
  it('says which volumes are as in the backup, and reads none of its data', async () => {
    const box = await Box.full();
    const first = box.goOn(['--no-check']);
    const bytes = readFileSync(box.fileOf(first));
    // Only data, not the members at the end.
    bytes.fill(0x55, 20_000, 500_000);
    writeFileSync(box.fileOf(first), bytes);
    const same = coffer(box, 'verify', '--compare', first, 'work', 'vault');
    expect(same.status, same.stderr).toBe(0);
    expect(lastEvent(same.stdout)['volumes']).toMatchObject([
      { name: 'work', volume: 'private', result: 'same' },
      { name: 'vault', volume: 'private', result: 'same' },
    ]);
    const none = coffer(box, 'verify', '--compare', first, 'dom0');
    expect(none).toMatchObject({ status: 5 });
    expect(none.stderr).toContain('there is nothing to compare');
    const image = join(box.directory, 'appvms/work/private.img');
    const changed = readFileSync(image);
    changed[6_000_000] = (changed[6_000_000] ?? 0) ^ 1;
    writeFileSync(image, changed);
    const system = await openFolderSystem(box.directory);
    await system.remove('vault');
    const run = coffer(box, 'verify', '--compare', first, 'work', 'vault');
    expect(run.status).toBe(1);
    expect(lastEvent(run.stdout)['volumes']).toMatchObject([
      { name: 'work', result: 'changed' },
      { name: 'vault', result: 'not here' },
    ]);
  });
});
