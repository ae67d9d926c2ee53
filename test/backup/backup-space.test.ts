import { describe, expect, it } from 'vitest';
import type { MeasuredHome } from '../../dom0-agent/backup/plan-home.ts';
import { planBackup } from '../../dom0-agent/backup/plan-backup.ts';
import { type Estimate, estimateOf, whyItMayNotFit } from '../../dom0-agent/backup/backup-space.ts';
import type { Volume } from '../../dom0-agent/qubes/qube.ts';
import { RefusedError } from '../../shared/errors.ts';
import { GiB, MiB } from '../../shared/sizes.ts';
import type { Space } from '../../shared/space.ts';
import { spaceOf } from '../../storage/list-directory.ts';
import { qube } from '../restore/planning.ts';

const volume = (usage: number | undefined): Volume => ({
  ...{ name: 'private', saveOnStop: true, pool: 'pool', vid: 'x/private' },
  ...{ size: 1000 * MiB, usage },
});

function estimate(usage: number | undefined, compressed: boolean, measuredHome?: MeasuredHome) {
  const qubes = [
    qube('dom0', {}, { qubeClass: 'AdminVM', qid: 0 }),
    qube('work', {}, { qid: 1, volumes: [volume(usage)] }),
  ];
  const inventory = {
    qubes,
    listed: [],
    running: new Set<string>(),
    uncommitted: new Set<string>(),
    unreadable: new Map<string, string>(),
    dom0Home: { user: 'user', path: '/home/user' },
  };

  const plan = planBackup(inventory, {
    ...{ chosen: ['work'], excluded: [], excludedIfThere: [] },
    running: 'include',
  });
  return estimateOf({ ...plan, dom0Home: measuredHome }, compressed);
}

const doubt = (size: Estimate, space: Space) => whyItMayNotFit(size, { location: 'usb:/x', space });

describe('the free space for a backup', () => {
  it('is accepted if everything fits without compression', () => {
    expect(doubt(estimate(600 * MiB, true), { freeBytes: 600 * MiB })).toBeUndefined();
    expect(doubt(estimate(600 * MiB, false), { freeBytes: 600 * MiB })).toBeUndefined();
  });

  it('gives a warning if the backup fits only when it is compressed, by half at most', () => {
    expect(doubt(estimate(600 * MiB, true), { freeBytes: 599 * MiB })).toMatch(
      /^it may not fit: .* free in usb:\/x: it depends on how well/,
    );
    expect(doubt(estimate(600 * MiB, true), { freeBytes: 300 * MiB })).toMatch(
      /^it may not fit: .* free in usb:\/x: it depends on how well/,
    );
  });

  it('is refused, with both sizes, if the backup does not fit even at half its size', () => {
    const refuse = () => doubt(estimate(600 * MiB, true), { freeBytes: 299 * MiB });
    expect(refuse).toThrow(RefusedError);
    expect(refuse).toThrow(
      'there is not enough space in usb:/x: the backup needs at least 300 MiB, and 299 MiB are free',
    );
    expect(() => doubt(estimate(600 * MiB, false), { freeBytes: 599 * MiB })).toThrow(RefusedError);
  });

  it('is compared with a size that includes dom0’s home', () => {
    const size = { expected: 200 * MiB, most: 300 * MiB };
    const home = { user: 'user', path: '/home/user', size };
    const both = { least: 400 * MiB, most: 800 * MiB, trees: 200 * MiB };
    expect(estimate(600 * MiB, true, home)).toEqual(both);
  });

  it('gives a warning for a volume whose used size is unknown', () => {
    expect(doubt(estimate(undefined, false), { freeBytes: 1 })).toMatch(
      /^it may not fit: .* free in usb:\/x: it depends on how well/,
    );
  });

  it('is accepted for a volume that was never written', () => {
    expect(doubt(estimate(0, false), { freeBytes: 1 })).toBeUndefined();
  });

  describe('on FAT', () => {
    // The numbers that `stat -f -c %t` prints for FAT and for ext4.
    const fat = spaceOf({ type: 0x4d44, bavail: 2 ** 20, bsize: 32 * 1024 });
    const ext4 = spaceOf({ type: 0xef53, bavail: 2 ** 20, bsize: 32 * 1024 });

    it('is refused if the backup has 4 GiB or more even at half its size', () => {
      const refuse = () => doubt(estimate(8 * GiB, true), fat);
      expect(refuse).toThrow(RefusedError);
      expect(refuse).toThrow(
        /^the backup needs at least 4 GiB, and .* usual for FAT: use a disk with /,
      );
    });

    it('gives a warning if compression may bring the backup below 4 GiB', () => {
      expect(doubt(estimate(8 * GiB - 2, true), fat)).toMatch(/^8 GiB may not fit: .*FAT/);
      expect(doubt(estimate(4 * GiB, true), fat)).toMatch(/^4 GiB may not fit: .*FAT/);
    });

    it('is accepted for less than 4 GiB, and on other file systems for more', () => {
      expect(doubt(estimate(4 * GiB - 1, true), fat)).toBeUndefined();
      expect(doubt(estimate(8 * GiB, true), ext4)).toBeUndefined();
    });
  });
});
