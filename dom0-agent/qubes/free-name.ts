import { isValidQubeName } from './qube.ts';

/** Qubes' limit for a VM's name, in characters. */
const LONGEST_NAME = 31;
const MOST_TRIES = 1000;

/** A name like `wanted` that is not taken: `work-1`, `work-2` … Undefined when there is none. */
export function freeName(wanted: string, taken: ReadonlySet<string>): string | undefined {
  for (let number = 1; number < MOST_TRIES; number++) {
    const suffix = `-${number}`;
    const name = wanted.slice(0, LONGEST_NAME - suffix.length) + suffix;
    if (!taken.has(name) && isValidQubeName(name)) return name;
  }
  return undefined;
}
