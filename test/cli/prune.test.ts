import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { withPreloaded } from '../test-run.ts';
import { World } from '../../tools/faults/world.ts';
import { Box, type Run } from './box.ts';
import { lastEvent } from './events.ts';

const CLOCK = fileURLToPath(new URL('fixed-clock.cjs', import.meta.url));
const SCRIPT = fileURLToPath(new URL('../../coffer-gc.sh', import.meta.url));
const MiB = 2 ** 20;
const DATA = 1_000_000;
/** Each day changes one of two halves of the data, in turn. */
const CHANGED = 3_000_000;

const cleanUps: (() => Promise<void>)[] = [];
afterAll(() => Promise.all(cleanUps.map((cleanUp) => cleanUp())));

/** Daily backups of a VM, with what its volume contained, by the names of the backups. */
class Days {
  readonly box: Box;
  readonly images = new Map<string, Buffer>();

  private constructor(box: Box) {
    this.box = box;
  }

  static async of(...days: readonly string[]): Promise<Days> {
    const all = new Days(await Box.full((cleanUp) => cleanUps.push(cleanUp)));
    for (const day of days) all.backUp(day);
    return all;
  }

  backUp(day: string, ...words: readonly string[]): void {
    const image = join(this.box.directory, 'appvms/work/private.img');
    change(image, DATA + (this.images.size % 2) * CHANGED);
    const environment = { NODE_OPTIONS: withPreloaded(CLOCK), FIXED_CLOCK: `${day}T12:00:00Z` };
    const common = ['-d', 'usb', ...this.box.secret, '-y', ...words];
    const run = ['backup', ...common, 'backups', 'work'];
    const { status, stderr } = this.box.coffer(run, '', { ...environment, TZ: 'UTC' });
    if (status !== 0) throw new Error(stderr);
    this.images.set(`qubes-backup-${day}T120000`, readFileSync(image));
  }

  prune(...words: readonly string[]): Run {
    const run = ['prune', '-d', 'usb', ...this.box.secret, ...words, 'backups'];
    return this.box.loud(run, '', { TZ: 'UTC' });
  }

  get files(): string[] {
    return readdirSync(this.box.backups).sort();
  }

  get bytes(): number {
    return this.files.reduce((sum, name) => sum + statSync(join(this.box.backups, name)).size, 0);
  }

  /** Restores a backup; returns whether the volume has the content of that day. */
  isRight(name: string, day = name): boolean {
    const words = ['restore', '-d', 'usb', ...this.box.secret, '-y', '--rename-conflicting'];
    const { status, stdout, stderr } = this.box.loud([...words, `backups/${name}`, 'work']);
    const copy = /(work-\d+)/.exec(stdout)?.[1] ?? '';
    if (status !== 0) throw new Error(stderr);
    const image = readFileSync(join(this.box.directory, 'appvms', copy, 'private.img'));
    return this.images.get(day)?.equals(image) ?? false;
  }
}

function change(image: string, at: number, length = CHANGED): void {
  const file = openSync(image, 'r+');
  writeSync(file, randomBytes(length), 0, length, at);
  closeSync(file);
}

const named = (day: string): string => `qubes-backup-${day}T120000`;

describe('coffer prune', () => {
  it('deletes the backups that no rule keeps, and moves what others need of them into a pack', async () => {
    const days = await Days.of('2026-01-01', '2026-01-02', '2026-01-03', '2026-02-01');
    const before = days.bytes;
    const { status, stdout, stderr } = days.prune('-y', '--keep-monthly', '2');
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/qubes-backup-2026-01-02T120000 .* forget\n/);
    expect(stdout).toMatch(/qubes-backup-2026-01-03T120000 .* keep: monthly\n/);
    expect(stdout).toMatch(/^2 backups to forget: 2 files of /m);
    const kept = [named('2026-01-03'), named('2026-02-01')];
    expect(days.files).toEqual([...kept, expect.stringMatching(/^qubes-pack-/)]);
    expect(days.bytes).toBeLessThan(before);
    for (const name of kept) expect(days.isRight(name), name).toBe(true);
    days.backUp('2026-02-02');
    expect(days.isRight(named('2026-02-02'))).toBe(true);
    const verify = ['verify', '--all', '-d', 'usb', ...days.box.secret, 'backups'];
    expect(days.box.coffer(verify)).toMatchObject({ status: 0 });
  });

  it('changes nothing with --dry-run, and says what it would do', async () => {
    const days = await Days.of('2026-01-01', '2026-01-02', '2026-01-03');
    const files = days.files;
    const { status, stdout } = days.prune('--dry-run', '--keep-last', '1');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^2 backups to forget: .* will be freed\.$/m);
    expect(days.files).toEqual(files);
    const json = days.prune('--dry-run', '--json', '--keep-last', '1');
    expect(lastEvent(json.stdout)).toMatchObject({ ok: true, deleted: [], packs: [] });
  });

  it('uses the authenticated times of backups, whatever the files are called', async () => {
    const days = await Days.of('2026-01-01', '2026-01-02', '2026-01-03');
    const [oldest, newest] = [named('2026-01-01'), named('2026-01-03')];
    const at = (name: string): string => join(days.box.backups, name);
    renameSync(at(oldest), at('aside'));
    renameSync(at(newest), at(oldest));
    renameSync(at('aside'), at(newest));
    utimesSync(at(newest), 2e9, 2e9);
    expect(days.prune('-y', '--keep-last', '1')).toMatchObject({ status: 0 });
    expect(days.files).toEqual([oldest, expect.stringMatching(/^qubes-pack-/)]);
    expect(days.isRight(oldest, newest)).toBe(true);
  });

  it('prunes each series in a directory separately, except one that the passphrase does not open', async () => {
    const days = await Days.of('2026-01-01', '2026-01-02', '2026-01-03');
    days.backUp('2026-01-04', '--new-series');
    days.backUp('2026-01-05');
    days.backUp('2026-01-06');
    const other = join(days.box.directory, 'other');
    writeFileSync(other, 'another passphrase\n');
    days.backUp('2026-01-07', '-p', other, '--new-series');
    const { status, stdout, stderr } = days.prune('-y', '--keep-last', '1');
    expect(status, stderr).toBe(0);
    expect(stdout + stderr).toMatch(/^1 file of series with another passphrase: left alone$/m);
    expect(stdout).toMatch(/^They belong to 2 series: each is pruned separately\.$/m);
    expect(stdout).toMatch(/^4 backups to forget: 4 files /m);
    const kept = [named('2026-01-03'), named('2026-01-06'), named('2026-01-07')];
    expect(days.files.filter((name) => name.startsWith('qubes-backup-'))).toEqual(kept);
    for (const name of kept.slice(0, 2)) expect(days.isRight(name), name).toBe(true);
    for (const words of [['--public-key'], ['-y', '--keep-last', '1', '--list']]) {
      expect(days.prune(...words)).toMatchObject({ status: 5 });
    }
  });

  it('is refused, and changes nothing, if a backup has a time in the future', async () => {
    const days = await Days.of('2026-01-01', '2026-01-02', '2099-01-01');
    const files = days.files;
    const { status, stderr } = days.prune('-y', '--keep-last', '1');
    expect(status).toBe(5);
    expect(stderr.replaceAll('\n', ' ')).toContain('which is in the future: nothing is forgotten');
    expect(days.files).toEqual(files);
  });

  it('is refused, and changes nothing, if the clock went back between two backups', async () => {
    const days = await Days.of('2026-01-02', '2026-01-03', '2026-01-01');
    const files = days.files;
    const { status, stderr } = days.prune('-y', '--keep-last', '1');
    expect(status).toBe(5);
    expect(stderr.replaceAll('\n', ' ')).toContain('it is unclear which backups are old');
    expect(days.files).toEqual(files);
  });

  it('is refused, and changes nothing, if a file that dom0 knows of is missing', async () => {
    const days = await Days.of('2026-01-01', '2026-01-02', '2026-01-03');
    rmSync(join(days.box.backups, named('2026-01-03')));
    const files = days.files;
    const { status, stderr } = days.prune('-y', '--keep-last', '1');
    expect(status).toBe(5);
    expect(stderr.replaceAll('\n', ' ')).toMatch(/does not show \S+, which dom0 knows of/);
    expect(days.files).toEqual(files);
  });
});

describe('on storage that dom0 cannot delete from, coffer prune', () => {
  it('stores a signed list, by which coffer-gc.sh deletes files there', async () => {
    await using world = await World.make('qubesd');
    // The double of qubesd runs in this process, which therefore must not block while coffer runs.
    const coffer = async (command: string, ...words: string[]) => {
      const secret = ['-p', join(world.directory, 'passphrase')];
      const { argv, env } = world.coffer([command, '-d', 'usb', ...secret, ...words]);
      const [program = '', ...args] = argv;
      const child = spawn(program, args, { cwd: world.directory, env });
      const ended = once(child, 'close');
      const said = (await text(child.stdout)) + (await text(child.stderr));
      return { ending: (await ended)[0] as unknown, said };
    };
    let image = Buffer.alloc(0);
    for (let day = 0; day < 3; day++) {
      change(world.imageOf('work'), (1 + 6 * (day % 2)) * MiB, 6 * MiB);
      image = readFileSync(world.imageOf('work'));
      const words = ['-y', '--kdf-cost', '14', 'backups', 'work'];
      expect(await coffer('backup', ...words)).toMatchObject({ ending: 0 });
    }
    const before = readdirSync(world.backups);

    const refused = await coffer('prune', '-y', '--keep-last', '1', 'backups');
    expect(refused.ending).toBe(5);
    expect(refused.said.replaceAll('\n', ' ')).toMatch(/usb cannot delete or assemble backups/);
    expect(readdirSync(world.backups)).toEqual(before);

    const key = await coffer('prune', '-q', '--public-key', 'backups');
    const side = mkdtempSync(join(tmpdir(), 'coffer-gc-'));
    cleanUps.push(() => rm(side, { recursive: true }));
    writeFileSync(join(side, 'key.pem'), /-----BEGIN[^]*-----\n?/.exec(key.said)?.[0] ?? '');
    expect(await coffer('prune', '-y', '--keep-last', '1', '--list', 'backups')).toMatchObject({
      ending: 0,
    });
    expect(readdirSync(world.backups)).toEqual(expect.arrayContaining(before));
    const words = ['-k', join(side, 'key.pem'), '-s', side, '-d', '0', world.backups];
    const gc = spawnSync('sh', [SCRIPT, ...words], { encoding: 'utf8' });
    expect(gc.status, gc.stdout + gc.stderr).toBe(0);
    const left = readdirSync(world.backups);
    expect(left.filter((name) => name.startsWith('qubes-backup-'))).toEqual(before.slice(-1));

    expect(
      await coffer('restore', '-y', '--rename-conflicting', `backups/${before.at(-1) ?? ''}`),
    ).toMatchObject({ ending: 0 });
    expect(readFileSync(world.imageOf('work-1')).equals(image)).toBe(true);
  });
});
