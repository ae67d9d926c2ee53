import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { messageOf } from '../../../shared/errors.ts';
import type { Ground } from './ground.ts';
import { imageGround } from './image-ground.ts';
import { sh } from './programs.ts';
import { play } from './schedule.ts';
import { thinDriverChecks } from './thin-driver.ts';
import { GROUP, thinGround } from './thin-ground.ts';
import { zfsDriverChecks } from './zfs-driver.ts';
import { TANK, type ZfsGround, zfsGround } from './zfs-ground.ts';
import { makeTank, zfsGuardChecks } from './zfs-guards.ts';

/** The program that runs in the virtual machine: `main.mjs DIRECTORY SEED BACKUPS POOL`. */
const [directory = '', seedText = '1', backupsText = '12', kind = 'thin'] = process.argv.slice(2);
const [seed, backups] = [Number(seedText), Number(backupsText)];
const MiB = 2 ** 20;
const SIZE = 8 * MiB;

async function tell(what: string, check: () => Promise<string | undefined>): Promise<void> {
  const start = performance.now();
  let result: string;
  try {
    result = (await check()) ?? 'as it should be';
  } catch (error) {
    process.exitCode = 1;
    result = `FAILED: ${messageOf(error)}`;
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  process.stdout.write(`${what}: ${result} (${seconds} s)\n`);
}

/** Fails if a changed block was missed, or if an unchanged one was reported where the pool does not move blocks. */
async function played(ground: Ground, isDisturbed: boolean): Promise<void> {
  await tell(`${ground.name}, seed ${seed}`, async () => {
    const found = await play(ground, directory, seed, backups, isDisturbed);
    const text =
      `${found.backups} backups, ${found.untouched} untouched, ${found.whole} whole; of blocks of ` +
      `${ground.blockSize} bytes ${found.changed} changed, ${found.missed} missed, ${found.extra} too many` +
      (found.empty === 0 ? '' : `, ${found.empty} empty ones told again`);
    // A file system may move blocks when it is defragmented.
    const isPrecise = found.extra === 0 || (isDisturbed && /xfs|btrfs/.test(ground.name));
    if (found.missed > 0 || !isPrecise) throw new Error(text);
    return text;
  });
}

/** Makes a loop device of `size` bytes, on a file in memory, and returns its path. */
async function disk(name: string, size: number): Promise<string> {
  const file = join(directory, name);
  await sh(`truncate -s ${size} ${file}`);
  return (await sh(`losetup --show -f ${file}`)).trim();
}

async function makeThinPool(): Promise<void> {
  const device = await disk('thin', 200 * MiB);
  await sh(`lvm vgcreate -q ${GROUP} ${device}`);
  await sh(`lvm lvcreate -q -L 160M --type thin-pool -c 64K -n vm-pool ${GROUP}`);
}

async function mountNew(fileSystem: 'xfs' | 'btrfs'): Promise<string> {
  const device = await disk(fileSystem, 400 * MiB);
  await sh(`mkfs.${fileSystem} -q ${device}`);
  const path = join(directory, `${fileSystem}-mounted`);
  await mkdir(path);
  await sh(`mount ${device} ${path}`);
  return path;
}

async function tellAll(name: string, checks: Record<string, () => Promise<void>>): Promise<void> {
  for (const [what, check] of Object.entries(checks)) {
    await tell(`${name}: ${what}`, () => check().then(() => undefined));
  }
}

async function tryThin(): Promise<void> {
  await makeThinPool();
  const thin = await thinGround(SIZE);
  await played(thin, true);
  if (thin.isRunning) await thin.stop();
  await tellAll('lvm_thin', thinDriverChecks(thin, directory));
  for (const fileSystem of ['xfs', 'btrfs'] as const) {
    const pool = await mountNew(fileSystem);
    await played(await imageGround(fileSystem, pool, SIZE), false);
  }
}

/** Makes a volume in an encrypted dataset. */
async function encryptedGround(): Promise<ZfsGround> {
  const key = join(directory, 'key');
  await writeFile(key, 'correct horse battery staple');
  const encryption = `-o encryption=on -o keyformat=passphrase -o keylocation=file://${key}`;
  await sh(`zfs create ${encryption} ${TANK}/secret`);
  return zfsGround(SIZE, 'work', 'secret', ['volblocksize=16K', 'compression=zstd']);
}

async function tryZfs(): Promise<void> {
  const device = await disk('zfs', 400 * MiB);
  await makeTank(device);
  const plain = await zfsGround(SIZE);
  await played(plain, true);
  if (plain.isRunning) await plain.stop();
  await played(await encryptedGround(), false);
  await sh(`zfs destroy -R ${TANK}/secret`);
  const devices = { device, other: await disk('other', 200 * MiB) };
  await tellAll('zfs', zfsGuardChecks(plain, directory, devices));
  await tellAll('zfs', zfsDriverChecks(plain));
}

await (kind === 'zfs' ? tryZfs() : tryThin());
