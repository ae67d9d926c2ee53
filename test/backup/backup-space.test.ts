import { describe, expect, it } from 'vitest';
import type { MeasuredHome } from '../../dom0-agent/backup/measure-plan.ts';
import { planBackup } from '../../dom0-agent/backup/plan-backup.ts';
import { estimateOf, surelyFits } from '../../dom0-agent/backup/backup-space.ts';
import type { Volume } from '../../dom0-agent/qubes/qube.ts';
import { RefusedError } from '../../shared/errors.ts';
import { MiB } from '../../shared/sizes.ts';
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
    unreadable: new Map<string, string>(),
    dom0Home: { user: 'user', path: '/home/user' },
  };

  const plan = planBackup(inventory, {
    ...{ chosen: ['work'], excluded: [], excludedIfThere: [] },
    running: 'include',
  });
  return estimateOf({ ...plan, dom0Home: measuredHome }, compressed);
}

describe('the space for a backup', () => {
  it('is enough where all of it fits without compression', () => {
    expect(surelyFits(estimate(600 * MiB, true), 600 * MiB, 'usb:/x')).toBe(true);
    expect(surelyFits(estimate(600 * MiB, false), 600 * MiB, 'usb:/x')).toBe(true);
  });

  it('is perhaps enough where compression may do it, which counts for half at most', () => {
    expect(surelyFits(estimate(600 * MiB, true), 599 * MiB, 'usb:/x')).toBe(false);
    expect(surelyFits(estimate(600 * MiB, true), 300 * MiB, 'usb:/x')).toBe(false);
  });

  it('is refused, with sizes and ways out, where it cannot be enough', () => {
    const refuse = (): boolean => surelyFits(estimate(600 * MiB, true), 299 * MiB, 'usb:/x');
    expect(refuse).toThrow(RefusedError);
    expect(refuse).toThrow(
      'there is not enough space in usb:/x: the backup needs at least 300 MiB, and 299 MiB are free',
    );
    expect(() => surelyFits(estimate(600 * MiB, false), 599 * MiB, 'usb:/x')).toThrow(RefusedError);
  });

  it('counts what dom0’s home takes', () => {
    const size = { expected: 200 * MiB, most: 300 * MiB };
    const home = { user: 'user', path: '/home/user', size };
    const both = { least: 400 * MiB, most: 800 * MiB };
    expect(estimate(600 * MiB, true, home)).toEqual(both);
  });

  it('is never refused for a volume of which nobody knows what is in use', () => {
    expect(surelyFits(estimate(undefined, false), 1, 'usb:/x')).toBe(false);
  });

  it('is enough for a volume that was never written', () => {
    expect(surelyFits(estimate(0, false), 1, 'usb:/x')).toBe(true);
  });
});
