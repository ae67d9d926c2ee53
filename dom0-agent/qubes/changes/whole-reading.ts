import { randomInt } from 'node:crypto';

import type { Note } from './notes.ts';

/** A volume is compared as a whole again after this many backups, or this many days, at the latest. */
const MOST_BACKUPS = 30;
const MOST_DAYS = 30;
const SECONDS_A_DAY = 86_400;

/** When a volume was last compared as a whole, whatever the detectors say. */
export interface WholeReading {
  /** Unix time, in seconds. */
  readonly at: number;
  /** How many backups have been made since. */
  readonly backups: number;
  /**
   * After which part of the longest time it is due again, in thirtieths: chosen at random from the second half, so that
   * volumes that were read on the same day are not all due on the same day.
   */
  readonly due: number;
}

/** For a volume that has just been compared as a whole; `now` is Unix time, in seconds. */
export function readWholeAt(now: number): WholeReading {
  return { at: now, backups: 0, due: randomInt(MOST_BACKUPS / 2, MOST_BACKUPS + 1) };
}

/** Whether it has to be compared as a whole now. A time in the future is not trusted. */
export function isDue({ at, backups, due }: WholeReading, now: number): boolean {
  const days = (now - at) / SECONDS_A_DAY;
  return days < 0 || days >= (due / MOST_BACKUPS) * MOST_DAYS || backups + 1 >= due;
}

/** The same after one more backup, for which it was not compared as a whole. */
export function afterOneMore({ at, backups, due }: WholeReading): WholeReading {
  return { at, due, backups: backups + 1 };
}

/** The part of a note from which `parseWholeReading` reads the same. */
export function formatWholeReading({ at, backups, due }: WholeReading): Note {
  return { wholeAt: `${at}`, wholeBackups: `${backups}`, wholeDue: `${due}` };
}

/** Undefined if the note does not say. */
export function parseWholeReading(note: Note): WholeReading | undefined {
  const [at, backups, due] = ['wholeAt', 'wholeBackups', 'wholeDue'].map((name) =>
    Number(note[name] ?? NaN),
  );
  const isUsable = [at, backups, due].every((number) => Number.isSafeInteger(number));
  if (!isUsable || at === undefined || backups === undefined || due === undefined) return undefined;
  return { at, backups, due };
}
