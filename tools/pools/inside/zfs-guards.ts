import { deepEqual, equal, match, notEqual, ok } from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';

import { type Note, Notes } from '../../../dom0-agent/qubes/changes/notes.ts';
import type { Comparison } from '../../../dom0-agent/qubes/changes/pool-detector.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import { sh } from './programs.ts';
import { TANK, type ZfsGround, zfsGround } from './zfs-ground.ts';

const never = new AbortController().signal;
const MiB = 2 ** 20;

/**
 * Checks that the detector for ZFS pools cannot be misled. They run one after the other; the VM of `ground` must be
 * halted.
 *
 * @param device the device of the pool
 * @param other a device on which another pool can be made
 */
export function zfsGuardChecks(
  ground: ZfsGround,
  directory: string,
  { device, other }: { readonly device: string; readonly other: string },
): Record<string, () => Promise<void>> {
  const { vid, blockSize } = ground;
  const placed = {
    ...{ label: 'the volume private of work', qubeName: 'work', vid },
    hasNoSavedState: false,
  };
  let backups = 0;
  const detector = async () =>
    ground.detector('guards', await Notes.open(join(directory, 'guards')), () => undefined);
  const backUp = async (before?: Note): Promise<Comparison> => {
    await using pool = await detector();
    const backup = `b${backups++}`;
    let told: Comparison;
    {
      await using captured = await pool.capture({ placed, key: 'work', backup });
      told = await captured.compare(before, never);
    }
    await pool.tidy(told.note === undefined ? [] : [told.note]);
    return told;
  };
  const identity = async (): Promise<string | undefined> => {
    await using pool = await detector();
    return await pool.identityOf(placed);
  };
  const write = async (block: number, byte: number): Promise<void> => {
    await using file = await open(ground.writable, 'r+');
    await file.write(Buffer.alloc(blockSize, byte), 0, blockSize, block * blockSize);
    await file.sync();
  };
  const bookmarks = async (): Promise<string[]> =>
    (await sh(`zfs list -H -o name -t bookmark -r ${TANK}`))
      .split('\n')
      .filter((line) => line !== '');
  const sync = async (times: number): Promise<void> => {
    for (let time = 0; time < times; time++) await sh(`zpool sync ${TANK}`);
  };
  const importAgain = async (...options: string[]): Promise<void> => {
    await sh(`zpool export ${TANK}`);
    await sh(`zpool import -d ${device} -o cachefile=none ${options.join(' ')} ${TANK}`);
    await sh(`udevadm wait --timeout=60 ${ground.writable}`);
  };
  const block = (number: number) => ({ offset: number * blockSize, length: blockSize });

  return {
    'a block that was written is told, and a volume that was not started is the same': async () => {
      await ground.start();
      await write(3, 1);
      await ground.stop();
      const { note, identity: first } = await backUp();
      equal(await identity(), first);
      notEqual(first, undefined);
      await ground.start();
      equal(await identity(), first);
      await write(3, 2);
      equal(await identity(), first);
      await ground.stop();
      notEqual(await identity(), first);
      deepEqual(toBeRead(await backUp(note)), [block(3)]);
    },
    'what dom0 writes into the volume of a VM that is halted is noticed': async () => {
      const { note, identity: first } = await backUp();
      equal(await identity(), first);
      await write(4, 3);
      equal(await identity(), undefined);
      deepEqual(toBeRead(await backUp(note)), [block(4)]);
    },
    'metadata that were set back to before the bookmark lack it': async () => {
      await backUp();
      await sh(`zpool checkpoint ${TANK}`);
      await write(5, 1);
      const { note } = await backUp();
      await importAgain('--rewind-to-checkpoint');
      await sync(40);
      await write(6, 1);
      const told = await backUp(note);
      matches(told.changed, /bookmark is not there/);
      ok(Number(told.note?.['txg']) > Number(note?.['txg']), 'the pool was not used long enough');
    },
    'metadata that were set back to after the bookmark go on from it': async () => {
      const { note } = await backUp();
      await sh(`zpool checkpoint ${TANK}`);
      await write(7, 1);
      await sync(3);
      await importAgain('--rewind-to-checkpoint');
      await write(8, 1);
      deepEqual(toBeRead(await backUp(note)), [block(8)]);
    },
    'another bookmark under the same name is not taken for it': async () => {
      const { note } = await backUp();
      const name = `${vid}#${note?.['bookmark']}`;
      await write(9, 1);
      await sh(`zfs destroy ${name}`);
      await sh(`zfs snapshot ${vid}@later`);
      await sh(`zfs bookmark ${vid}@later ${name}`);
      await sh(`zfs destroy ${vid}@later`);
      matches((await backUp(note)).changed, /bookmark is another one/);
    },
    'a volume that was reverted, or replaced by its clone, is compared as a whole': async () => {
      const { note } = await backUp();
      await ground.revert();
      const again = await backUp(note);
      matches(again.changed, /bookmark is not there/);
      await ground.replace();
      matches((await backUp(again.note)).changed, /another volume/);
    },
    'another pool under the same name is not taken for it': async () => {
      const { note } = await backUp();
      await sh(`zpool export ${TANK}`);
      await makeTank(other);
      await zfsGround(8 * MiB);
      matches((await backUp(note)).changed, /another volume/);
      await sh(`zpool destroy ${TANK}`);
      await sh(`zpool import -d ${device} -o cachefile=none ${TANK}`);
      await sh(`udevadm wait --timeout=60 ${ground.writable}`);
      await write(10, 1);
      deepEqual(toBeRead(await backUp(note)), [block(10)]);
    },
    'a bookmark of a backup that was killed is removed by the next one, and no other': async () => {
      const before = (await bookmarks()).filter((name) => !name.includes('#coffer:guards:'));
      await sh(`zfs snapshot ${vid}@now`);
      for (const name of ['coffer:guards:killed', 'coffer:other:b', 'mine']) {
        await sh(`zfs bookmark ${vid}@now ${vid}#${name}`);
      }
      await sh(`zfs destroy ${vid}@now`);
      const { note } = await backUp();
      const left = ['coffer:other:b', 'mine', note?.['bookmark']].map((name) => `${vid}#${name}`);
      deepEqual((await bookmarks()).sort(), [...before, ...left].sort());
    },
    'a backup that is not stored leaves no bookmark': async () => {
      const before = await bookmarks();
      {
        await using pool = await detector();
        await using captured = await pool.capture({ placed, key: 'work', backup: 'lost' });
        const { note } = await captured.compare(undefined, never);
        notEqual(note, undefined);
        equal((await bookmarks()).length, before.length + 1);
      }
      deepEqual(await bookmarks(), before);
    },
  };
}

/** The ranges that are reported as changed and not as empty. */
function toBeRead({ changed, extents = [] }: Comparison): readonly Extent[] {
  if (typeof changed === 'string') throw new Error(changed);
  return changed.filter(({ offset }) =>
    extents.some((data) => data.offset <= offset && offset < data.offset + data.length),
  );
}

/** Fails unless everything may have changed, for this reason. */
function matches(changed: Comparison['changed'], why: RegExp): void {
  match(typeof changed === 'string' ? changed : 'ranges are told', why);
}

/** Makes a pool in which nothing is mounted. */
export async function makeTank(device: string): Promise<void> {
  await sh(
    `zpool create -o cachefile=none -O mountpoint=none -O compression=lz4 ${TANK} ${device}`,
  );
}
