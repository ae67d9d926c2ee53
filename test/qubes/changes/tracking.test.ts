import { existsSync } from 'node:fs';
import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';

import type { Note } from '../../../dom0-agent/qubes/changes/notes.ts';
import type { PoolDetector } from '../../../dom0-agent/qubes/changes/pool-detector.ts';
import { trackChanges } from '../../../dom0-agent/qubes/changes/track-changes.ts';
import { wasWrittenSince } from '../../../dom0-agent/qubes/changes/was-written.ts';
import type {
  Changes,
  ChangeTracking,
  OpenedChanges,
} from '../../../dom0-agent/qubes/changes/volume-changes.ts';
import { openHeldImage } from '../../../dom0-agent/qubes/pools/held-image.ts';
import type { Qube, Volume } from '../../../dom0-agent/qubes/qube.ts';
import { FailedError } from '../../../shared/errors.ts';
import type { Extent } from '../../../shared/sparse-data.ts';

const DAY = 86_400_000;
const never = new AbortController().signal;
const qube = { name: 'work' } as Qube;
const volume = { name: 'private', pool: 'pool', vid: 'v', saveOnStop: true } as Volume;

let directory: string;
let image: string;
let identity: string | undefined;
let changed: readonly Extent[] | string;
let befores: (Note | undefined)[];
let captured: number;
let disposed: number;
let holds: boolean;
let warnings: string[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'coffer-changes-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  image = join(directory, 'v.img');
  await writeFile(image, Buffer.alloc(1000, 1));
  identity = undefined;
  changed = [{ offset: 100, length: 10 }];
  [befores, captured, disposed, holds, warnings] = [[], 0, 0, true, []];
});

/** A pool that reports what the test sets. */
const detector: PoolDetector = {
  identityOf: () => Promise.resolve(identity),
  holds: () => holds,
  capture: () => {
    captured++;
    return Promise.resolve({
      opened: {
        path: image,
        requireUnchanged: () => Promise.resolve(),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      },
      compare: (before) => {
        befores.push(before);
        const note = { told: 'by the detector' };
        return Promise.resolve({ identity, changed, extents: undefined, note });
      },
      [Symbol.asyncDispose]: () => {
        disposed++;
        return Promise.resolve();
      },
    });
  },
  seal: () => Promise.resolve(),
  tidy: () => Promise.resolve(),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

interface Backup {
  readonly since?: string;
  readonly now?: Date;
  readonly keep?: boolean;
  readonly commit?: boolean;
  readonly look?: (opened: OpenedChanges) => Promise<void>;
  readonly pool?: string;
  /** Called while the volume is held, before it is opened. */
  readonly whileHeld?: () => Promise<void>;
}

/** Makes a backup of the volume; returns the reported changes. */
async function backUp(backup: string, options: Backup = {}): Promise<Changes> {
  const {
    since,
    now = new Date(),
    keep = true,
    commit = true,
    look,
    pool = 'pool',
    whileHeld,
  } = options;
  await using tracking = await trackChanges(
    {
      detectorOf: () => Promise.resolve(detector),
      imageOf: (opened, { label }, known, signal) =>
        openHeldImage(opened, label, undefined, signal, known),
    },
    {
      ...{ directory: join(directory, 'state'), series: 's', backup, now },
      warn: (text) => warnings.push(text),
    },
  );
  const tracked = { qube, volume: { ...volume, pool }, key: 'work.private', since };
  let changes: Changes;
  {
    await using held = await tracking.hold(tracked, never);
    await whileHeld?.();
    await using opened = await held.open(never);
    ({ changes } = opened);
    await look?.(opened);
    if (keep) opened.keep();
  }
  if (commit) await tracking.commit();
  return changes;
}

describe('the reported change of a volume since a backup', () => {
  it('is everything at first, and later what its pool reports', async () => {
    expect(await backUp('b1')).toEqual({ kind: 'everything', why: 'there is no record of it' });
    expect(await backUp('b2', { since: 'b1' })).toEqual({ kind: 'ranges', ranges: changed });
    expect(befores).toEqual([undefined, expect.objectContaining({ told: 'by the detector' })]);
    expect(disposed).toBe(2);
  });

  it('is everything if the backup is not the one that was noted', async () => {
    await backUp('b1');
    await backUp('b2', { since: 'b1' });
    for (const since of ['b1', undefined]) {
      const changes = await backUp('b3', since === undefined ? {} : { since, commit: false });
      expect(changes.kind).toBe('everything');
    }
  });

  it('refers to the last backup that was stored and contains the volume', async () => {
    await backUp('b1');
    await backUp('b2', { since: 'b1', commit: false });
    await backUp('b3', { since: 'b1', keep: false });
    expect(await backUp('b4', { since: 'b1' })).toMatchObject({ kind: 'ranges' });
    expect(await backUp('b5', { since: 'b4' })).toMatchObject({ kind: 'ranges' });
  });

  it('is nothing, and the volume is not opened, while its pool says that it is the same', async () => {
    identity = 'one';
    await backUp('b1');
    for (const [since, backup] of [
      ['b1', 'b2'],
      ['b2', 'b3'],
    ] as const) {
      const look = (opened: OpenedChanges): Promise<void> => {
        expect(opened.image).toBeUndefined();
        return Promise.resolve();
      };
      expect(await backUp(backup, { since, look })).toEqual({ kind: 'nothing' });
    }
    expect(befores).toHaveLength(1);
    identity = 'other';
    expect(await backUp('b4', { since: 'b3' })).toMatchObject({ kind: 'ranges' });
    // The note is from the last time that the detector was asked.
    expect(befores[1]).toMatchObject({ told: 'by the detector' });
    identity = undefined;
    expect(await backUp('b5', { since: 'b4' })).toMatchObject({ kind: 'ranges' });
  });

  it('is everything if its pool does not know', async () => {
    await backUp('b1');
    changed = 'the moon is full';
    expect(await backUp('b2', { since: 'b1' })).toEqual({ kind: 'everything', why: changed });
  });

  it('is everything if the volume has become smaller, and otherwise ends at its size', async () => {
    await backUp('b1');
    changed = [
      { offset: 900, length: 1000 },
      { offset: 2000, length: 1 },
    ];
    expect(await backUp('b2', { since: 'b1' })).toEqual({
      ...{ kind: 'ranges', ranges: [{ offset: 900, length: 100 }] },
    });
    await using file = await open(image, 'r+');
    await file.truncate(999);
    expect(await backUp('b3', { since: 'b2' })).toMatchObject({ why: /smaller/ });
  });

  it('is everything in at least every thirtieth backup, whatever its pool says', async () => {
    identity = 'one';
    const wholes: number[] = [];
    await backUp('b0');
    for (let i = 1; i <= 90; i++) {
      const changes = await backUp(`b${i}`, { since: `b${i - 1}` });
      if (changes.kind === 'everything') wholes.push(i);
    }
    expect(wholes.length).toBeGreaterThanOrEqual(3);
    for (const [i, whole] of wholes.entries()) {
      const since = whole - (wholes[i - 1] ?? 0);
      expect(since).toBeGreaterThanOrEqual(15);
      expect(since).toBeLessThanOrEqual(30);
    }
  });

  it('is everything after thirty days, and if the clock went back', async () => {
    identity = 'one';
    const start = Date.now();
    const on = (day: number): Date => new Date(start + day * DAY);
    await backUp('b0', { now: on(0) });
    expect(await backUp('b1', { since: 'b0', now: on(14) })).toEqual({ kind: 'nothing' });
    expect(await backUp('b2', { since: 'b1', now: on(31) })).toMatchObject({ kind: 'everything' });
    expect(await backUp('b3', { since: 'b2', now: on(32) })).toEqual({ kind: 'nothing' });
    expect(await backUp('b4', { since: 'b3', now: on(30) })).toMatchObject({ kind: 'everything' });
  });

  it('is everything in a pool that has reported wrongly, until the user removes the note of that', async () => {
    await backUp('b1');
    await backUp('b2', { since: 'b1', look: (opened) => opened.distrust() });
    const [warning = ''] = warnings;
    expect(warning).toMatch(
      /^the volume private of work has changed although its pool pool reported/,
    );
    expect(await backUp('b3', { since: 'b2' })).toMatchObject({ kind: 'everything' });
    expect(await backUp('b4', { since: 'b3' })).toMatchObject({ kind: 'everything' });
    await rm(/until you remove (.*)$/.exec(warning)?.[1] ?? '');
    expect(await backUp('b5', { since: 'b4' })).toMatchObject({ kind: 'ranges' });
  });

  it('is everything in such a pool also if the pool says that the volume is the same', async () => {
    identity = 'one';
    await backUp('b1');
    expect(await backUp('b2', { since: 'b1' })).toEqual({ kind: 'nothing' });
    identity = 'two';
    await backUp('b3', { since: 'b2', look: (opened) => opened.distrust() });
    expect(await backUp('b4', { since: 'b3' })).toMatchObject({ kind: 'everything' });
  });

  it('is everything if the note is damaged or missing', async () => {
    await backUp('b1');
    const [note = ''] = await readdir(join(directory, 'state'));
    const path = join(directory, 'state', note);
    for (const text of ['', '{', '[]', 'null', '"b1"', '{"backup":"b1"}', 'x'.repeat(100_000)]) {
      await writeFile(path, text);
      const changes = await backUp('b2', { since: 'b1', commit: false });
      expect(changes.kind).toBe('everything');
    }
    await rm(path);
    expect((await backUp('b2', { since: 'b1' })).kind).toBe('everything');
  });

  it('is determined from the state that was held, when the volume is opened', async () => {
    await backUp('b1');
    let when = captured;
    const whileHeld = (): Promise<void> => {
      when = captured;
      return Promise.resolve();
    };
    await backUp('b2', { since: 'b1', whileHeld });
    expect([when, befores.length]).toEqual([2, 2]);
    // A volume that cannot be held is opened as late as possible.
    holds = false;
    await backUp('b3', { since: 'b2', whileHeld });
    expect([when, captured, disposed]).toEqual([2, 3, 3]);
  });

  it('is everything if its pool is found to report wrongly while the volume is held', async () => {
    await backUp('b1');
    const whileHeld = async (): Promise<void> => {
      await backUp('b1-other', { since: 'b1', commit: false, look: (other) => other.distrust() });
    };
    expect(await backUp('b2', { since: 'b1', whileHeld })).toMatchObject({ kind: 'everything' });
  });

  it('is nothing, with an error if the volume is written to before it is read', async () => {
    identity = 'one';
    await backUp('b1');
    await backUp('b2', { since: 'b1', look: (opened) => opened.requireUntouched() });
    const look = async (opened: OpenedChanges): Promise<void> => {
      identity = 'other';
      await expect(opened.requireUntouched()).rejects.toThrow(
        /^the volume private of work has changed since the backup began/,
      );
    };
    expect(await backUp('b3', { since: 'b2', look })).toEqual({ kind: 'nothing' });
  });

  it('is released if the volume cannot be opened', async () => {
    await rm(image);
    await expect(backUp('b1')).rejects.toThrow(/the volume private of work/);
    expect(disposed).toBe(1);
  });
});

describe('after a backup', () => {
  /** Begins a backup of volumes in several pools, each with a detector that may fail. */
  const begin = (of: (pool: string) => Promise<PoolDetector>, existing?: ReadonlySet<string>) =>
    trackChanges(
      {
        detectorOf: of,
        imageOf: (opened, { label }, known, signal) =>
          openHeldImage(opened, label, undefined, signal, known),
      },
      {
        ...{ directory: join(directory, 'state'), series: 's', backup: 'b1', existing },
        warn: (text) => warnings.push(text),
      },
    );
  const hold = (tracking: ChangeTracking, pool: string, key = `${pool}.private`) =>
    tracking.hold({ qube, volume: { ...volume, pool }, key, since: undefined }, never);

  it('what was found is recorded, even if another pool cannot be reached at all', async () => {
    const gone = new FailedError('there is no such volume group');
    {
      await using tracking = await begin((pool) =>
        pool === 'gone' ? Promise.reject(gone) : Promise.resolve(detector),
      );
      await expect(hold(tracking, 'gone')).rejects.toThrow(gone);
      await using held = await hold(tracking, 'pool');
      {
        await using opened = await held.open(never);
        opened.keep();
      }
      await tracking.commit();
    }
    expect(await readdir(join(directory, 'state'))).toEqual(['volume.pool.private.json']);
  });

  it('every pool is cleaned up, even if that fails in one of them', async () => {
    const cleaned: string[] = [];
    const failing = (pool: string): PoolDetector => ({
      ...detector,
      [Symbol.asyncDispose]: () => {
        cleaned.push(pool);
        return pool === 'two'
          ? Promise.resolve()
          : Promise.reject(new FailedError(`${pool} broke`));
      },
    });
    const tracking = await begin((pool) => Promise.resolve(failing(pool)));
    for (const pool of ['one', 'two', 'three']) {
      const held = await hold(tracking, pool);
      await held[Symbol.asyncDispose]();
    }
    await expect(tracking[Symbol.asyncDispose]()).rejects.toThrow('one broke');
    expect(cleaned).toEqual(['one', 'two', 'three']);
  });

  it('what was recorded about volumes that no longer exist is removed, and so is what it needed', async () => {
    let needed: readonly Note[] = [];
    const tidying = (): Promise<PoolDetector> =>
      Promise.resolve({
        ...detector,
        tidy: (notes) => {
          needed = notes;
          return Promise.resolve();
        },
      });
    const backUpBoth = async (existing: ReadonlySet<string> | undefined): Promise<void> => {
      await using tracking = await begin(tidying, existing);
      for (const key of existing ?? ['one.private', 'two.private']) {
        await using held = await hold(tracking, 'pool', key);
        await using opened = await held.open(never);
        opened.keep();
      }
      await tracking.commit();
    };
    await backUpBoth(undefined);
    expect(needed).toHaveLength(2);
    await backUpBoth(new Set(['two.private']));
    expect(needed).toHaveLength(1);
    expect(await readdir(join(directory, 'state'))).toEqual(['volume.two.private.json']);
  });
});

describe('before a backup, whether a volume was written to since an earlier one', () => {
  const state = (): string => join(directory, 'state');
  const wasWritten = (since: string | undefined, of = detector): Promise<boolean | undefined> =>
    wasWrittenSince(
      { detectorOf: () => Promise.resolve(of) },
      state(),
    )({
      ...{ qube, volume, key: 'work.private', since },
    });

  it('is known from its identity in the pool, without capturing anything', async () => {
    identity = 'one';
    await backUp('b1');
    expect(await wasWritten('b1')).toBe(false);
    identity = 'other';
    expect(await wasWritten('b1')).toBe(true);
    expect(befores).toHaveLength(1);
  });

  it('is not known without a note, for another backup, or if the pool does not know', async () => {
    expect(await wasWritten('b1')).toBeUndefined();
    expect(existsSync(state())).toBe(false);
    await backUp('b1');
    identity = 'one';
    // Its identity was not known then.
    expect(await wasWritten('b1')).toBeUndefined();
    await backUp('b2', { since: 'b1' });
    expect(await wasWritten('b1')).toBeUndefined();
    expect(await wasWritten(undefined)).toBeUndefined();
    expect(await wasWritten('b2')).toBe(false);
    identity = undefined;
    expect(await wasWritten('b2')).toBeUndefined();
    const broken = { ...detector, identityOf: () => Promise.reject(new FailedError('no lvs')) };
    expect(await wasWritten('b2', broken)).toBeUndefined();
  });

  it('is not known in a pool that has reported wrongly', async () => {
    identity = 'one';
    await backUp('b1', { look: (opened) => opened.distrust() });
    await backUp('b2', { since: 'b1' });
    identity = 'other';
    await backUp('b3', { since: 'b2', look: (opened) => opened.distrust() });
    expect(await wasWritten('b3')).toBeUndefined();
  });
});
