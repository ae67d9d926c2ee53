import { closest, distance } from 'fastest-levenshtein';
import { UsageError } from '../../shared/errors.ts';

/** Names that differ in more letters, or in a larger part of their length, were not mixed up (as commander). */
const MOST_LETTERS = 3;
const LARGEST_PART = 0.6;

/** A VM that is not backed up or restored, and why, in words; the reason is empty when others were named. */
export interface LeftOut {
  readonly name: string;
  readonly why: string;
}

/** Throws UsageError when a VM's name stands twice on the command line. */
export function refuseRepeated(names: readonly string[]): void {
  const repeated = names.find((name, position) => names.indexOf(name) !== position);
  if (repeated !== undefined) throw new UsageError(`${repeated} is named twice: once is enough`);
}

/** For the end of a message on an unknown name: `; did you mean work?`, or nothing. */
export function suggestion(name: string, known: readonly string[]): string {
  if (known.length === 0) return '';
  const nearest = closest(name, known);
  const letters = distance(name, nearest);
  const part = letters / Math.max(name.length, nearest.length);
  return letters <= MOST_LETTERS && part < LARGEST_PART ? `; did you mean ${nearest}?` : '';
}
