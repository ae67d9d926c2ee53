import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';

import { imageGround } from './image-ground.ts';
import { sh } from './programs.ts';
import { play, type Played } from './schedule.ts';
import { GROUP, thinGround } from './thin-ground.ts';

/**
 * What runs in the virtual machine: `main.mjs DIRECTORY SEED BACKUPS`. Each line that it prints to standard output in
 * JSON is a result.
 */
const [directory = '', seedText = '1', backupsText = '10'] = process.argv.slice(2);
const [seed, backups] = [Number(seedText), Number(backupsText)];
const MiB = 2 ** 20;
const SIZE = 32 * MiB;

function report(played: Played): void {
  process.stdout.write(`${JSON.stringify(played)}\n`);
}

/** A loop device of `size` bytes, over a file in memory. */
async function disk(name: string, size: number): Promise<string> {
  const file = join(directory, name);
  await sh(`truncate -s ${size} ${file}`);
  return (await sh(`losetup --show -f ${file}`)).trim();
}

async function makeThinPool(): Promise<void> {
  const device = await disk('thin', 400 * MiB);
  await sh(`lvm pvcreate -q ${device}`);
  await sh(`lvm vgcreate -q ${GROUP} ${device}`);
  await sh(`lvm lvcreate -q -L 320M --type thin-pool -c 64K -n vm-pool ${GROUP}`);
}

async function mountNew(fileSystem: 'xfs' | 'btrfs'): Promise<string> {
  const device = await disk(fileSystem, 400 * MiB);
  await sh(`mkfs.${fileSystem} -q ${device}`);
  const path = join(directory, `${fileSystem}-mounted`);
  await mkdir(path);
  await sh(`mount ${device} ${path}`);
  return path;
}

await makeThinPool();
report(await play(await thinGround(SIZE), directory, seed, backups, true));
for (const fileSystem of ['xfs', 'btrfs'] as const) {
  const pool = await mountNew(fileSystem);
  report(await play(await imageGround(fileSystem, pool, SIZE), directory, seed, backups, false));
}
