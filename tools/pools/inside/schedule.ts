import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { trackChanges } from '../../../dom0-agent/qubes/changes/track-changes.ts';
import type { Changes } from '../../../dom0-agent/qubes/changes/volume-changes.ts';
import { openHeldImage } from '../../../dom0-agent/qubes/pools/held-image.ts';
import type { Qube, Volume } from '../../../dom0-agent/qubes/qube.ts';
import type { VolumeImage } from '../../../dom0-agent/qubes/system.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import { Dice } from '../../faults/dice.ts';
import type { Ground } from './ground.ts';
import { sh } from './programs.ts';

/** The smallest write, except for single bytes. */
const BLOCK = 4096;
const never = new AbortController().signal;

/** The result of a schedule, in the pool's blocks. */
export interface Played {
  readonly ground: string;
  readonly seed: number;
  backups: number;
  /** Backups in which the volume was reported as not written to. */
  untouched: number;
  /** Backups for which it was unknown what had changed. */
  whole: number;
  /** Blocks that had changed. */
  changed: number;
  /** Blocks that were reported as changed, but had not changed. */
  extra: number;
  /** Blocks that had changed, but were not reported. */
  missed: number;
  /** Blocks that were reported as changed, had not changed, and are empty: nothing is read for them. */
  empty: number;
}

/**
 * Does random things that happen to a volume and, after some steps, asks what has changed since the previous backup,
 * and compares the answer with what really has changed. Throws when the content that is read is not what is there.
 *
 * @param isDisturbed whether to also disturb the pool, which may move blocks that are then reported as changed
 */
export async function play(
  ground: Ground,
  directory: string,
  seed: number,
  backups: number,
  isDisturbed: boolean,
): Promise<Played> {
  const dice = new Dice(seed);
  const choices = isDisturbed ? [...STEPS, disturb] : STEPS;
  const played = {
    ...{ ground: ground.name, seed, backups: 0, untouched: 0, whole: 0 },
    ...{ changed: 0, extra: 0, missed: 0, empty: 0 },
  };
  const watched = new WatchedVolume(ground, join(directory, `${ground.name}-${seed}`), played);
  await fill(ground, dice);
  await watched.backUp(true);
  while (played.backups < backups) {
    const steps = Math.floor(dice.next() * 6);
    for (let step = 0; step < steps; step++) await dice.pick(choices)(ground, dice);
    if (steps === 0) await idle(watched);
    // If a backup was not stored, the next one is compared with an earlier one.
    await watched.backUp(dice.next() < 0.9);
  }
  return played;
}

/** Waits until the times of files can be relied on, which have to be two seconds old, and makes a backup. */
async function idle(watched: WatchedVolume): Promise<void> {
  await sleep(2_100);
  await watched.backUp(true);
}

type Step = (ground: Ground, dice: Dice) => Promise<void>;

const startOrStop: Step = (ground) => (ground.isRunning ? ground.stop() : ground.start());
const writeLittle: Step = (ground, dice) => writeAt(ground, dice, 20, 4);
const writeMuch: Step = (ground, dice) => writeAt(ground, dice, 2, 256);
const discard: Step = async (ground, dice) => {
  const { offset, length } = await place(ground, dice, 256);
  await ground.discard(offset, length);
};
const revert: Step = async (ground) => {
  if (!ground.isRunning) await ground.revert();
};
const clone: Step = (ground) => ground.clone();
const disturb: Step = (ground) => ground.disturb();
const grow: Step = async (ground, dice) => {
  if (dice.next() < 0.2) await ground.grow(4 * 2 ** 20);
};
/** Writes one byte. If that changes nothing, it may count as a change; if it changes the byte, it must. */
const writeByte: Step = async (ground, dice) => {
  const { offset } = await place(ground, dice, 1);
  await write(ground, offset + Math.floor(dice.next() * BLOCK), Buffer.from([dice.next() * 256]));
};

const STEPS: readonly Step[] = [
  ...[startOrStop, startOrStop, startOrStop, writeLittle, writeLittle, writeMuch],
  ...[writeByte, discard, revert, clone, grow],
];

async function fill(ground: Ground, dice: Dice): Promise<void> {
  const size = await sizeOf(ground.writable);
  for (let offset = 0; offset < size * 0.7; offset += 2 ** 20) {
    await write(ground, offset, noise(dice, 2 ** 20));
  }
}

async function writeAt(ground: Ground, dice: Dice, times: number, longest: number): Promise<void> {
  for (let time = 0; time < times; time++) {
    const { offset, length } = await place(ground, dice, longest);
    await write(ground, offset, noise(dice, length));
  }
}

/** A random range of whole blocks. */
async function place(
  ground: Ground,
  dice: Dice,
  longest: number,
): Promise<{ offset: number; length: number }> {
  const blocks = (await sizeOf(ground.writable)) / BLOCK;
  const first = Math.floor(dice.next() * blocks);
  const count = Math.min(blocks - first, 1 + Math.floor(dice.next() * longest));
  return { offset: first * BLOCK, length: count * BLOCK };
}

/** Bytes that differ from one block to the next. */
function noise(dice: Dice, length: number): Buffer {
  const block = Buffer.from(Float64Array.from({ length: BLOCK / 8 }, () => dice.next()).buffer);
  return Buffer.alloc(length, block).map((byte, at) => (byte + (at >> 12)) & 0xff) as Buffer;
}

async function write(ground: Ground, offset: number, bytes: Buffer): Promise<void> {
  await using file = await open(ground.writable, 'r+');
  await file.write(bytes, 0, bytes.length, offset);
  await file.sync();
}

async function sizeOf(path: string): Promise<number> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  if (size > 0) return size;
  return Number(await sh(`blockdev --getsize64 ${path}`));
}

const qube = { name: 'work' } as Qube;
const volume = { name: 'private', pool: 'pool', saveOnStop: true, revisionsToKeep: 1 } as Volume;

/** A volume that is backed up, whose content at the last stored backup is remembered. */
class WatchedVolume {
  readonly #ground: Ground;
  readonly #directory: string;
  readonly #played: Played;
  #content: Buffer = Buffer.alloc(0);
  #since: string | undefined;

  constructor(ground: Ground, directory: string, played: Played) {
    this.#ground = ground;
    this.#directory = directory;
    this.#played = played;
  }

  async backUp(isStored: boolean): Promise<void> {
    const ground = this.#ground;
    const backup = `b${this.#played.backups++}`;
    const warn = (text: string): void => {
      throw new Error(text);
    };
    await using tracking = await trackChanges(
      {
        detectorOf: (_pool, notes) => ground.detector('series', notes, warn),
        imageOf: (opened, { label }, known, signal) =>
          openHeldImage(opened, label, undefined, signal, known),
      },
      { directory: this.#directory, series: 'series', backup, warn },
    );
    const tracked = {
      qube,
      volume: { ...volume, vid: ground.vid },
      key: 'work',
      since: this.#since,
    };
    const content = await contentOf(ground.committed);
    {
      await using held = await tracking.hold(tracked, never);
      await using opened = await held.open(never);
      if (opened.image !== undefined) await requireSame(opened.image, content);
      this.#count(opened.changes, content, opened.image?.extents ?? []);
      opened.keep();
    }
    if (!isStored) return;
    await tracking.commit();
    this.#since = backup;
    this.#content = content;
  }

  #count(changes: Changes, content: Buffer, extents: readonly Extent[]): void {
    const played = this.#played;
    if (changes.kind === 'everything') {
      played.whole++;
      if (this.#since !== undefined) process.stdout.write(`everything: ${changes.why}\n`);
      return;
    }
    if (changes.kind === 'nothing') played.untouched++;
    const block = this.#ground.blockSize;
    const blocksIn = (ranges: readonly Extent[]): boolean[] => {
      const found = Array<boolean>(content.length / block).fill(false);
      for (const { offset, length } of ranges) {
        found.fill(true, Math.floor(offset / block), Math.ceil((offset + length) / block));
      }
      return found;
    };
    const told = blocksIn(changes.kind === 'ranges' ? changes.ranges : []);
    const hasData = blocksIn(extents);
    const before = Buffer.concat([this.#content], content.length);
    for (const [i, isTold] of told.entries()) {
      const at = i * block;
      const isChanged = before.compare(content, at, at + block, at, at + block) !== 0;
      if (isChanged) played.changed++;
      if (isChanged && !isTold) played.missed++;
      if (!isChanged && isTold) played[hasData[i] === true ? 'extra' : 'empty']++;
    }
  }
}

async function contentOf(path: string): Promise<Buffer> {
  await using file = await open(path, 'r');
  const content = Buffer.alloc(await sizeOf(path));
  for (let at = 0; at < content.length;) {
    const { bytesRead } = await file.read(content, at, content.length - at, at);
    at += bytesRead;
  }
  return content;
}

/** Throws unless reading the image extent by extent, as a backup does, gives this content. */
async function requireSame(image: VolumeImage, content: Buffer): Promise<void> {
  const read = Buffer.alloc(image.size);
  for (const { offset, length } of image.extents) {
    await image.read(read.subarray(offset, offset + length), offset);
  }
  if (!read.equals(content)) throw new Error('what is read is not what is there');
  await image.requireUnchanged();
}
