import { deepEqual, equal, match, ok, rejects } from 'node:assert/strict';
import { mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';

import { Notes } from '../../../dom0-agent/qubes/changes/notes.ts';
import { openPool } from '../../../dom0-agent/qubes/pools/open-pool.ts';
import { openImage } from '../../../dom0-agent/qubes/pools/open-image.ts';
import { runnerBehind } from '../../../shared/run-program.ts';
import type { Ground } from './ground.ts';
import { sh } from './programs.ts';
import { readVolume } from './read-volume.ts';
import { GROUP } from './thin-ground.ts';

const never = new AbortController().signal;
const MiB = 2 ** 20;
/** The owner name of a process that has ended. */
const GONE = 'coffer.999999999.5.0123abcd';

/**
 * Checks of the driver for `lvm_thin` and its detector on real LVM. They run one after the other in the pool of
 * `ground`.
 */
export function thinDriverChecks(
  ground: Ground,
  directory: string,
): Record<string, () => Promise<void>> {
  const driver = openPool(
    'pool',
    new Map([
      ['driver', 'lvm_thin'],
      ['volume_group', GROUP],
    ]),
    { runAsRoot: runnerBehind([]), isRunning: () => Promise.resolve(false) },
  );
  const placed = {
    ...{ label: 'the volume private of work', qubeName: 'work', vid: ground.vid },
    hasNoSavedState: false,
  };
  const names = async (): Promise<string[]> => {
    const listed = await sh(`lvm lvs --noheadings -o lv_name ${GROUP}`);
    return listed
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  };
  const readSnapshot = () => readVolume(driver, placed);
  const committed = async (): Promise<Buffer> => {
    await using file = await open(ground.committed, 'r');
    const content = Buffer.alloc(8 * MiB);
    await file.read(content, 0, content.length, 0);
    return content;
  };

  return {
    'a snapshot has the content of the volume, and is removed': async () => {
      const before = await names();
      const content = await readSnapshot();
      ok(content.subarray(0, 8 * MiB).equals(await committed()));
      deepEqual(await names(), before);
    },
    'a snapshot stays as it is while the volume is written to': async () => {
      const content = await committed();
      await using opened = await driver.open(placed);
      await using file = await open(ground.committed, 'r+');
      await file.write(Buffer.alloc(4096, content[0] === 1 ? 2 : 1), 0, 4096, 0);
      await file.sync();
      await using image = await openImage(opened.path, placed.label, never);
      const block = Buffer.alloc(4096);
      await image.read(block, 0);
      ok(block.equals(content.subarray(0, 4096)));
    },
    'a volume that is not active, and is skipped in activation, is read all the same': async () => {
      const content = await committed();
      await sh(`lvm lvchange -q -an ${ground.vid}`);
      await sh(`lvm lvchange -q -ky ${ground.vid}`);
      ok((await readSnapshot()).subarray(0, 8 * MiB).equals(content));
      await sh(`lvm lvchange -q -kn ${ground.vid}`);
      await sh(`lvm lvchange -q -ay ${ground.vid}`);
    },
    'what a coffer that was killed has left is removed, and nothing else': async () => {
      const before = await names();
      await sh(
        `lvm lvcreate -q -kn -ay -s --addtag=${GONE} ${ground.vid} -n vm-work-private+${GONE}-snap`,
      );
      await sh(`lvm lvcreate -q -kn -ay -s ${ground.vid} -n vm-other-private+${GONE}-snap`);
      await using own = await driver.open(placed);
      await driver.removeStale();
      const left = (await names()).filter((name) => !before.includes(name));
      deepEqual(left.sort(), [own.path.split('/').at(-1), `vm-other-private+${GONE}-snap`].sort());
      await sh(`lvm lvremove -q -f ${GROUP}/vm-other-private+${GONE}-snap`);
    },
    'a volume that is not there is an error of LVM in its own words, and leaves nothing':
      async () => {
        const before = await names();
        await rejects(
          driver.open({ ...placed, vid: `${GROUP}/vm-gone-private` }),
          /vm-gone-private not found in Volume group/,
        );
        deepEqual(await names(), before);
      },
    'a metadata snapshot that another program holds is left alone, and all is compared':
      async () => {
        const notes = await Notes.open(join(directory, 'notes-held'));
        await mkdir(notes.directory, { recursive: true });
        const message = 'dmsetup message qubes_dom0-vm--pool-tpool 0';
        await sh(`${message} reserve_metadata_snap`);
        const detector = await ground.detector('held', notes, () => undefined);
        const capture = { placed, key: 'work', backup: 'b' };
        {
          await using captured = await detector.capture(capture);
          const { note, changed } = await captured.compare(undefined, never);
          equal(note, undefined);
          match(JSON.stringify(changed), /another program holds/);
        }
        await sh(`${message} release_metadata_snap`);
        await using captured = await detector.capture(capture);
        const { note, changed } = await captured.compare(undefined, never);
        ok(note !== undefined, JSON.stringify(changed));
      },
    'a pool that is full is told in plain words, nothing is left, and with space again it is read':
      async () => {
        const content = await committed();
        await sh(`lvm lvchange -q --errorwhenfull y ${GROUP}/vm-pool`);
        await sh(`lvm lvcreate -q -V 800M --thinpool vm-pool -n vm-large ${GROUP}`);
        await rejects(
          sh(`dd if=/dev/zero of=/dev/${GROUP}/vm-large bs=1M oflag=direct status=none`),
        );
        const before = await names();
        await rejects(readSnapshot(), /the volume private of work .* its thin pool is full/);
        deepEqual(await names(), before);
        await sh(`lvm lvremove -q -f ${GROUP}/vm-large`);
        ok((await readSnapshot()).subarray(0, 8 * MiB).equals(content));
      },
  };
}
