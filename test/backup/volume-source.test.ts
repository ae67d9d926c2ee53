import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it, onTestFinished } from 'vitest';

import { holdVolumeSource } from '../../dom0-agent/backup/volume-source.ts';
import { never, pieces, smallSystem } from '../qubes/folder/small-system.ts';

const BYTES = 100_000;

/** Backs up a volume twice; returns the change that each backup gets. */
async function twoBackups(between: (image: string) => Promise<void>) {
  const { directory, system } = await smallSystem();
  const state = await mkdtemp(join(tmpdir(), 'coffer-state-'));
  onTestFinished(() => rm(state, { recursive: true }));
  await system.importVolume('work', 'private', BYTES, pieces([[5, 'content']]), never);
  const qube = (await system.qubes()).find(({ name }) => name === 'work');
  const volume = qube?.volumes.find(({ name }) => name === 'private');
  if (qube === undefined || volume === undefined) throw new Error('no volume');
  // The time of a file is only relied on once it is two seconds old.
  await sleep(2_100);
  const told = [];
  let since: string | undefined;
  for (const backup of ['b1', 'b2']) {
    const warn = (): void => undefined;
    await using tracking = await system.trackChanges({
      ...{ directory: state, series: 's', backup, warn },
    });
    const known = { tracking, since: () => since };
    {
      await using held = await holdVolumeSource(system, qube, volume, known, never);
      await using source = await held.open(never);
      const content = Buffer.alloc(7);
      const read = backup === 'b1' ? undefined : () => source.read(content, 5);
      told.push({ changed: source.changed, size: source.size, extents: source.extents });
      await read?.();
      if (backup === 'b2') expect(content.toString()).toBe('content');
      await source.requireUnchanged();
      source.keep();
    }
    await tracking.commit();
    since = backup;
    if (backup === 'b1') await between(join(directory, `${volume.vid}.img`));
  }
  return told;
}

describe('a volume that is backed up', () => {
  it('need not be read if it was not written to since its last backup, but still can be', async () => {
    const [first, second] = await twoBackups(() => Promise.resolve());
    expect(first?.changed).toBeUndefined();
    const whole = [{ offset: 0, length: BYTES }];
    expect(second).toEqual({ changed: [], size: BYTES, extents: whole });
  });

  it('is read if it was written to since its last backup', async () => {
    const [, second] = await twoBackups(async (image) => {
      await using file = await open(image, 'r+');
      await file.write('x', 500);
    });
    expect(second?.changed).not.toEqual([]);
  });
});
