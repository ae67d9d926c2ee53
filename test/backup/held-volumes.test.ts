import { describe, expect, it } from 'vitest';

import { HeldVolumes } from '../../dom0-agent/backup/held-volumes.ts';
import type { PlannedQube } from '../../dom0-agent/backup/plan-backup.ts';
import type { HeldSource } from '../../dom0-agent/backup/volume-source.ts';
import type { Qube, Volume } from '../../dom0-agent/qubes/qube.ts';
import { FailedError } from '../../shared/errors.ts';

const never = new AbortController().signal;

/** VMs with one volume each. */
const qubes: readonly PlannedQube[] = Array.from({ length: 20 }, (_, i) => ({
  ...({ qube: { name: `vm${i}` }, volumes: [{ name: 'private' }] } as unknown as PlannedQube),
}));
const volumeOf = (i: number): Volume => qubes[i]?.volumes[0] ?? expect.fail();

/** Counts the volumes that are held; some fail. */
class Pool {
  readonly held = new Set<string>();
  most = 0;
  asked = 0;
  readonly #fails: (name: string) => Error | undefined;

  constructor(fails: (name: string) => Error | undefined = () => undefined) {
    this.#fails = fails;
  }

  readonly hold = async ({ name }: Qube): Promise<HeldSource> => {
    this.asked++;
    await new Promise(setImmediate);
    const error = this.#fails(name);
    if (error !== undefined) throw error;
    this.held.add(name);
    this.most = Math.max(this.most, this.held.size);
    return {
      open: () => Promise.reject(new Error('not read here')),
      [Symbol.asyncDispose]: () => {
        if (!this.held.delete(name)) throw new Error(`${name} was released twice`);
        return Promise.resolve();
      },
    };
  };
}

const one = (error: unknown): error is FailedError => error instanceof FailedError;

describe('the volumes of a backup', () => {
  it('are all held before the first is taken, and are released one by one', async () => {
    const pool = new Pool();
    const volumes = await HeldVolumes.of(qubes, pool.hold, one, never);
    expect(pool.held.size).toBe(20);
    for (const i of qubes.keys()) {
      const taken = volumes.take(volumeOf(i));
      expect(pool.held.size).toBe(20 - i);
      await taken[Symbol.asyncDispose]();
    }
    await volumes[Symbol.asyncDispose]();
    expect([pool.held.size, pool.asked]).toEqual([0, 20]);
  });

  it('are released even if they are not read', async () => {
    const pool = new Pool();
    {
      await using volumes = await HeldVolumes.of(qubes, pool.hold, one, never);
      await volumes.take(volumeOf(3))[Symbol.asyncDispose]();
    }
    expect([pool.held.size, pool.most]).toEqual([0, 20]);
  });

  it('are held even if one of them fails, whose error is thrown when it is opened', async () => {
    const pool = new Pool((name) => (name === 'vm7' ? new FailedError('vm7 is gone') : undefined));
    await using volumes = await HeldVolumes.of(qubes, pool.hold, one, never);
    expect(pool.held.size).toBe(19);
    await expect(volumes.take(volumeOf(7)).open(never)).rejects.toThrow('vm7 is gone');
  });

  it('are released if holding them fails entirely or is interrupted', async () => {
    const fatal = new Pool((name) =>
      name === 'vm7' ? new TypeError('qubesd is gone') : undefined,
    );
    await expect(HeldVolumes.of(qubes, fatal.hold, one, never)).rejects.toThrow('qubesd is gone');
    expect(fatal.held.size).toBe(0);
    expect(fatal.asked).toBeLessThan(20);

    const stop = new AbortController();
    const interrupted = new Pool((name) => {
      if (name === 'vm7') stop.abort(new Error('interrupted'));
      return undefined;
    });
    const holding = HeldVolumes.of(qubes, interrupted.hold, one, stop.signal);
    await expect(holding).rejects.toThrow('interrupted');
    expect(interrupted.held.size).toBe(0);
    expect(interrupted.asked).toBeLessThan(20);
  });
});
