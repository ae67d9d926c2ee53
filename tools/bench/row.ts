import type { Command } from './measure.ts';
import type { World } from './world.ts';

/** One side of a comparison: a whole process, and what is done around it that does not count. */
export interface Job {
  readonly name: string;
  readonly command: Command;
  readonly before?: () => Promise<void>;
  readonly after?: () => Promise<void>;
}

/** What is made of the medians of a row's first job and its second, or of the first alone. */
export type Yardstick =
  | { readonly kind: 'ratio'; readonly atMost: number }
  /** Seconds that the first job takes longer than the second. */
  | { readonly kind: 'beyond'; readonly atMost: number }
  /** Seconds. */
  | { readonly kind: 'time'; readonly atMost: number }
  /** Of what was stored, once all jobs were run: a share of something else. */
  | { readonly kind: 'stored'; readonly share: () => Promise<number>; readonly atMost: number }
  /** Peak resident memory in bytes, of coffer and of the VM agent. */
  | { readonly kind: 'memory'; readonly coffer: number; readonly agent: number };

/** A row of the table: jobs that are run in turn. */
export interface Row {
  readonly name: string;
  readonly jobs: readonly [Job, ...Job[]];
  readonly yardstick: Yardstick;
}

/** Makes the data for a row, and tells what is to be run. */
export type RowMaker = (world: World) => Promise<Omit<Row, 'name'>>;

export type NamedRow = readonly [name: string, make: RowMaker];
