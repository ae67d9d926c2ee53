import { readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';

import { DamagedError, FailedError, RefusedError } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import type { FolderSystem } from '../../../dom0-agent/qubes/folder/folder-system.ts';
import { markRunning, never, pieces, smallSystem } from './small-system.ts';

let directory: string;
let system: FolderSystem;
let image: string;

beforeEach(async () => {
  ({ directory, system } = await smallSystem());
  image = join(directory, 'appvms/work/private.img');
  await truncate(image, 1024);
  await writeFile(image, 'what was there before', { flag: 'r+' });
});

/** Checks that the old content is there, and nothing else. */
async function expectUntouched(): Promise<void> {
  expect(await readdir(join(directory, 'appvms/work'))).toEqual(['private.img']);
  expect((await readFile(image, 'utf8')).replace(/\0+$/, '')).toBe('what was there before');
}

describe('importing a volume', () => {
  it('gives it the size and the content, with holes elsewhere', async () => {
    const all = pieces([
      [0, 'first'],
      [5, 'second'],
      [8 * MiB, 'third'],
    ]);
    await system.importVolume('work', 'private', 16 * MiB + 7, all, never);
    const expected = Buffer.alloc(16 * MiB + 7);
    expected.write('firstsecond');
    expected.write('third', 8 * MiB);
    expect((await readFile(image)).equals(expected)).toBe(true);
    expect((await stat(image)).blocks * 512).toBeLessThan(MiB);
    expect(await readdir(join(directory, 'appvms/work'))).toEqual(['private.img']);
    const work = (await system.qubes()).find(({ name }) => name === 'work');
    expect(work?.volumes[1]).toMatchObject({ name: 'private', size: 16 * MiB + 7 });
    expect(await readFile(join(directory, 'qubes.xml'), 'utf8')).toContain(`"${16 * MiB + 7}"`);
  });

  it('of size 0 gives an empty volume', async () => {
    await system.importVolume('work', 'private', 0, pieces([]), never);
    expect((await stat(image)).size).toBe(0);
  });

  it.each([
    [
      'overlap',
      100,
      [
        [0, 'abc'],
        [2, 'x'],
      ] as const,
    ],
    [
      'go backwards',
      100,
      [
        [50, 'abc'],
        [0, 'x'],
      ] as const,
    ],
    ['are beyond the end', 4, [[2, 'abc']] as const],
    ['are before the beginning', 100, [[-1, 'abc']] as const],
  ])('whose pieces %s leaves the old content', async (_, size, wrong) => {
    const importing = system.importVolume('work', 'private', size, pieces(wrong), never);
    await expect(importing).rejects.toThrow(FailedError);
    await expect(importing).rejects.toThrow(/private of work/);
    await expectUntouched();
  });

  it('whose source fails leaves the old content, and throws the error of the source', async () => {
    for (const count of [0, 1, 2]) {
      const damage = new DamagedError('the backup is damaged');
      const some = (
        [
          [0, 'new'],
          [3, 'er'],
        ] as const
      ).slice(0, count);
      const source = pieces(some, () => {
        throw damage;
      });
      await expect(system.importVolume('work', 'private', 100, source, never)).rejects.toBe(damage);
      await expectUntouched();
    }
  });

  it('whose source fails with a system error throws that unchanged', async () => {
    const broken = Object.assign(new Error('broken pipe'), { code: 'EPIPE' });
    const source = pieces([[0, 'new']], () => {
      throw broken;
    });
    await expect(system.importVolume('work', 'private', 100, source, never)).rejects.toBe(broken);
    await expectUntouched();
  });

  it('that is interrupted, in the middle or at the end, leaves the old content', async () => {
    for (const more of [[], [[9, 'never written']] as const]) {
      const controller = new AbortController();
      async function* stopped(): ReturnType<typeof pieces> {
        yield* pieces([[0, 'new']], () => controller.abort());
        yield* pieces(more);
      }
      const { signal } = controller;
      await expect(
        system.importVolume('work', 'private', 100, stopped(), signal),
      ).rejects.toMatchObject({ name: 'AbortError' });
      await expectUntouched();
    }
  });

  it('that does not fit on the disk leaves the old content', async () => {
    const size = Number.MAX_SAFE_INTEGER;
    const importing = system.importVolume('work', 'private', size, pieces([[0, 'new']]), never);
    await expect(importing).rejects.toThrow(/^the volume private of work cannot be written: /);
    await expectUntouched();
  });

  it('is refused for a volume that is not saved, an unknown VM and a running one', async () => {
    const importTo = (name: string, volume: string): Promise<void> =>
      system.importVolume(name, volume, 3, pieces([[0, 'new']]), never);
    // The root of an AppVM belongs to its template.
    for (const volume of ['root', 'volatile', 'kernel', 'nosuch', '../private']) {
      await expect(importTo('work', volume)).rejects.toThrow(RefusedError);
    }
    await expect(importTo('nobody', 'private')).rejects.toThrow(RefusedError);
    await markRunning(directory, 'work');
    await expect(importTo('work', 'private')).rejects.toThrow(/running/);
    await expectUntouched();
  });
});
