import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { StorageCommand } from '../transport/storage-command.ts';
import { Box, type Run } from './box.ts';
import { lastEvent } from './events.ts';

const SIZE = 8_000_000;
const never = new AbortController().signal;

/** A box, and a directory that can only be reached through a command. */
class Place {
  readonly box: Box;
  readonly directory: string;
  /** Options of `coffer`. */
  where: string[];
  command: StorageCommand;

  private constructor(box: Box, through: 'usb' | 'dom0') {
    this.box = box;
    this.directory = join(box.directory, 'far-away');
    mkdirSync(this.directory);
    this.command = new StorageCommand(join(box.directory, 'homes/usb'));
    const vm = through === 'usb' ? ['-d', 'usb'] : [];
    this.where = [...vm, '--through', this.command.command];
  }

  static async open(through: 'usb' | 'dom0' = 'usb'): Promise<Place> {
    return new Place(await Box.full(onTestFinished, through), through);
  }

  /** Replaces some of what the command does. */
  otherwise(otherwise: ConstructorParameters<typeof StorageCommand>[1]): void {
    this.command = new StorageCommand(join(this.box.directory, 'homes/usb'), otherwise);
  }

  run(command: string, ...words: readonly string[]): Run {
    const yes = ['backup', 'restore', 'prune', 'copy'].includes(command) ? ['-y'] : [];
    const secret = command === 'copy' ? [] : this.box.secret;
    return this.box.loud([command, ...this.where, ...secret, ...yes, ...words]);
  }

  backUp(...words: readonly string[]): Run {
    const run = this.run('backup', ...words, this.directory);
    expect(run.status, run.stderr).toBe(0);
    return run;
  }

  get names(): string[] {
    return readdirSync(this.directory).sort();
  }

  sizeOf(name: string | undefined): number {
    return statSync(join(this.directory, name ?? '')).size;
  }

  image(vm: string): Buffer {
    return readFileSync(join(this.box.directory, 'appvms', vm, 'private.img'));
  }

  /** Changes some of the private volume of `work`. */
  async change(offset: number): Promise<void> {
    const system = await openFolderSystem(this.box.directory);
    async function* pieces(): AsyncGenerator<{ offset: number; bytes: Buffer }> {
      yield await Promise.resolve({ offset, bytes: randomBytes(200_000) });
    }
    await system.importVolume('work', 'private', SIZE, pieces(), never);
  }

  /** The location of a backup by the time in its name: `DIRECTORY@2026-11-26T052246`. */
  dated(name: string | undefined): string {
    return `${this.directory}@${(name ?? '').replace('qubes-backup-', '')}`;
  }
}

describe.each(['usb', 'dom0'] as const)('through a command in %s, coffer', (through) => {
  it('continues a series, sends only what has changed, and restores each backup by its date', async () => {
    const place = await Place.open(through);
    place.backUp();
    const before = place.image('work');
    await place.change(3_000_000);
    // In the same second, one date would stand for both.
    await setTimeout(1000);
    place.command.asked();
    const second = place.backUp();
    const after = place.image('work');
    expect(before.equals(after)).toBe(false);
    expect(second.stdout).toMatch(
      /1 of 3 VMs changed; .* new, .* already there; stored and checked/,
    );
    const [one, two] = place.names;
    expect(place.names).toHaveLength(2);
    expect(place.sizeOf(two)).toBeLessThan(place.sizeOf(one) * 0.7);
    // Both ends of a file, at most eight parts, the new file once, and listings.
    expect(place.command.asked().length).toBeLessThan(22);

    expect(place.run('verify', place.directory, '--all')).toMatchObject({ status: 0 });
    for (const [name, image] of [
      [one, before],
      [two, after],
    ] as const) {
      const vm = `then-${image === before ? 1 : 2}`;
      const run = place.run('restore', '--new-name', `work=${vm}`, place.dated(name), 'work');
      expect(run.status, run.stderr).toBe(0);
      expect(place.image(vm).equals(image)).toBe(true);
    }
    const file = join(place.directory, one ?? '');
    expect(place.run('verify', file, 'work')).toMatchObject({ status: 0 });
  });

  it('lists the backups there with few commands, and shows their status without one', async () => {
    const place = await Place.open(through);
    place.backUp();
    await place.change(1_500_000);
    place.backUp();
    place.command.asked();
    const listed = place.run('list', place.directory);
    expect(listed.status, listed.stderr).toBe(0);
    expect(listed.stdout).toContain('2 backups in');
    expect(place.command.asked().length).toBeLessThan(8);
    const status = place.box.loud(['status', '--json', '--due', '9']);
    expect(JSON.stringify(lastEvent(status.stdout))).toContain('(through ');
    expect(place.command.asked()).toEqual([]);
  });
});

describe('through a command', () => {
  it('a series can be adopted, pruned, and continued with another passphrase', async () => {
    const place = await Place.open();
    place.backUp();
    for (const offset of [1_500_000, 6_500_000]) {
      await place.change(offset);
      place.backUp();
    }
    rmSync(join(place.box.directory, 'dom0-state'), { recursive: true });
    const adopted = place.run('adopt', place.directory);
    expect(adopted.status, adopted.stderr).toBe(0);
    expect(adopted.stdout).toContain('A series of 3 backups');

    const [first, , last] = place.names;
    const pruned = place.run('prune', place.directory, '--keep-last', '1');
    expect(pruned.status, pruned.stderr).toBe(0);
    expect(place.names).not.toContain(first);
    expect(place.names).toContain(last);
    expect(place.run('verify', place.directory, '--all')).toMatchObject({ status: 0 });

    const newer = join(place.box.directory, 'newer');
    writeFileSync(newer, 'another one altogether\n');
    const words = ['--new-passphrase-file', newer, place.directory];
    expect(place.run('passphrase', ...words)).toMatchObject({ status: 0 });
    const run = place.box.loud(['backup', ...place.where, '-p', newer, '-y', place.directory]);
    expect(run.status, run.stderr).toBe(0);
    expect(run.stdout).toContain('already there');
  });

  it('backups can be copied from there and to there', async () => {
    const place = await Place.open();
    place.backUp();
    const directory = join(place.box.directory, 'homes/usb/fetched');
    mkdirSync(directory);
    const fetched = place.run('copy', place.directory, '--to', 'usb', 'fetched');
    expect(fetched.status, fetched.stderr).toBe(0);
    for (const name of place.names) {
      expect(
        readFileSync(join(directory, name)).equals(readFileSync(join(place.directory, name))),
      ).toBe(true);
      rmSync(join(place.directory, name));
    }
    const to = ['--to', 'usb', '--to-through', place.command.command];
    const words = ['copy', '-d', 'usb', '-y', 'fetched', ...to, place.directory];
    expect(place.box.loud(words)).toMatchObject({ status: 0 });
    expect(place.run('verify', place.directory)).toMatchObject({ status: 0 });
  });

  it('a backup and a prune can also go with a profile', async () => {
    const place = await Place.open();
    const profiles = join(place.box.directory, 'profiles');
    mkdirSync(profiles);
    const environment = { COFFER_PROFILES: profiles };
    const words = ['backup', ...place.where, ...place.box.secret, '-y', '--save-profile', 'far'];
    chmodSync(place.box.passphraseFile, 0o600);
    const made = place.box.loud([...words, place.directory, 'work'], '', environment);
    expect(made.status, made.stderr).toBe(0);
    for (const command of ['backup', 'prune']) {
      const more = command === 'prune' ? ['--keep-last', '1'] : [];
      const run = place.box.loud([command, '--profile', 'far', '-y', ...more], '', environment);
      expect(run.status, run.stderr).toBe(0);
    }
    const listed = place.box.bare(['profiles'], '', environment);
    expect(listed.stdout.replace(/\s+/g, ' ')).toContain('(through');
  });

  it.each([
    ['other bytes', 'tr "\\000-\\377" "\\001-\\377\\000"', 3],
    ['fewer bytes', 'head -c 100', 4],
  ])('nothing is restored if the command gives %s of a file', async (_, filter, status) => {
    const place = await Place.open();
    place.backUp();
    const read = 'dd if="$COFFER_FILE" bs=1M iflag=skip_bytes,count_bytes skip="$COFFER_OFFSET"';
    const lie = `if [ "$COFFER_OFFSET" -gt 0 ]; then ${filter}; else cat; fi`;
    place.otherwise({ read: `${read} count="$COFFER_LENGTH" status=none | ${lie}` });
    const before = place.box.state;
    const file = join(place.directory, place.names[0] ?? '');
    const run = place.run('restore', '--rename-conflicting', file, 'work');
    expect(run.status, run.stderr).toBe(status);
    expect(place.box.state).toBe(before);
  });

  it('a backup whose upload breaks off is listed as damaged, and the next one continues the series', async () => {
    const place = await Place.open();
    place.backUp();
    await place.change(2_500_000);
    // The connection breaks, and a part of the file gets the final name.
    place.otherwise({ write: 'head -c 100000 > "$COFFER_FILE"; echo broken >&2; exit 1' });
    const broken = place.run('backup', place.directory);
    expect(broken.status).toBe(4);
    expect(broken.stderr.replace(/\s+/g, ' ')).toMatch(/asked to write .*status 1.*broken/);
    place.otherwise({});
    const listed = place.run('list', place.directory);
    expect(listed.status, listed.stderr).toBe(0);
    expect(listed.stdout).toMatch(/incomplete|damaged|cut short/);
    const next = place.backUp();
    expect(next.stdout).toContain('1 of 3 VMs changed');
    const run = place.run('restore', '--rename-conflicting', place.directory, 'work');
    expect(run.status, run.stderr).toBe(0);
  });

  it('a backup fails if the command stores only half of it and reports success', async () => {
    const place = await Place.open();
    place.otherwise({ write: 'head -c 200000 > "$COFFER_FILE"; cat > /dev/null' });
    const run = place.run('backup', place.directory);
    expect(run.status).toBe(3);
    expect(run.stderr.replace(/\s+/g, ' ')).toContain('something other than what was stored');
  });

  it('nothing is written before the backup is confirmed', async () => {
    const place = await Place.open();
    const words = ['backup', ...place.where, ...place.box.secret, place.directory];
    expect(place.box.loud(words).status).not.toBe(0);
    expect(place.command.asked().filter((line) => !line.startsWith('list'))).toEqual([]);
  });

  it('--command is refused, too', async () => {
    const place = await Place.open();
    const run = place.run('list', '--command', 'cat x');
    expect(run.status).toBe(2);
    expect(run.stderr).toContain('--through');
  });
});
