import type { Command } from './measure.ts';
import type { World } from './world.ts';

/** One side of a comparison: a command to measure, and what is done before and after it, which does not count. */
export interface Job {
  readonly name: string;
  readonly command: Command;
  readonly before?: () => Promise<void>;
  readonly after?: () => Promise<void>;
}

/** How a row is judged, by the medians of its first two jobs, or of the first one. */
export type Yardstick =
  /** The time of the first job divided by that of the second. */
  | { readonly kind: 'ratio'; readonly atMost: number }
  /** How much longer the first job takes than the second, in seconds. */
  | { readonly kind: 'beyond'; readonly atMost: number }
  /** The time of the first job, in seconds. */
  | { readonly kind: 'time'; readonly atMost: number }
  /** What was stored after all jobs, as a share of something else. */
  | { readonly kind: 'stored'; readonly share: () => Promise<number>; readonly atMost: number }
  /** Peak resident memory in bytes, of coffer and of the VM agent. */
  | { readonly kind: 'memory'; readonly coffer: number; readonly agent: number };

/** A row of the table: jobs that are run in turn. */
export interface Row {
  readonly name: string;
  readonly jobs: readonly [Job, ...Job[]];
  readonly yardstick: Yardstick;
}

/** Makes the data for a row, and returns its jobs. */
export type RowMaker = (world: World) => Promise<Omit<Row, 'name'>>;

export type NamedRow = readonly [name: string, make: RowMaker];
