import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { withPreloaded } from '../test-run.ts';
import { Box } from '../cli/box.ts';
import type { WhenDone } from '../qubes/folder/small-system.ts';
import { type Piece, piecesOf } from './splices.ts';

const CLOCK = new URL('../cli/fixed-clock.cjs', import.meta.url).pathname;
const DATA = 3_000_000;

/** The days of a series of `work` and `vault`; on the second, only `work` has changed. */
export const DAYS = ['2026-01-01', '2026-01-02'] as const;

/** The members of those days' files. */
export interface Chain {
  readonly first: readonly Piece[];
  readonly second: readonly Piece[];
}

/** A series of two days, and the contents of its volumes. */
export interface TwoDays {
  /** The system that was backed up, with the files in its storage VM. */
  readonly box: Box;
  readonly chain: Chain;
  /** The contents of each day, by VM. */
  readonly images: readonly ReadonlyMap<string, Buffer>[];
  /** An empty system to restore into. */
  readonly fresh: Box;
}

export async function twoDays(cleanUp: WhenDone): Promise<TwoDays> {
  const box = await Box.full(cleanUp);
  const images: Map<string, Buffer>[] = [];
  for (const day of DAYS) {
    backUpDay(box, day, images.length > 0 ? DATA : 0);
    images.push(
      new Map(['work', 'vault'].map((name) => [name, readFileSync(imageOf(box, name))] as const)),
    );
  }
  const [first = [], second = []] = readdirSync(box.backups)
    .sort()
    .map((name) => piecesOf(readFileSync(join(box.backups, name))));
  return { box, chain: { first, second }, images, fresh: await Box.empty(cleanUp) };
}

export const imageOf = (where: Box, name: string): string =>
  join(where.directory, 'appvms', name, 'private.img');

/** Backs up another day of the series, after `work` has written so many bytes. */
export function backUpDay(box: Box, day: string, bytes: number): void {
  if (bytes > 0) change(imageOf(box, 'work'), bytes);
  backUp(box, day);
}

function change(file: string, bytes: number): void {
  const image = openSync(file, 'r+');
  writeSync(image, randomBytes(bytes), 0, bytes, 1_000_000);
  closeSync(image);
}

function backUp(box: Box, day: string): void {
  const words = ['backup', '-d', 'usb', ...box.secret, '-y', '--no-check', 'backups'];
  const { status, stderr } = box.coffer([...words, 'work', 'vault'], '', {
    NODE_OPTIONS: withPreloaded(CLOCK),
    FIXED_CLOCK: `${day}T12:00:00Z`,
    TZ: 'UTC',
  });
  if (status !== 0) throw new Error(stderr);
}
