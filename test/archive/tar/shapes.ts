import type { Run } from './gnu-tar.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

export interface Shape {
  readonly name: string;
  readonly size: number;
  readonly runs: readonly Run[];
}

/** Files with all relevant arrangements of data and holes. All runs begin on page boundaries. */
export const SHAPES: readonly Shape[] = [
  { name: 'an empty file', size: 0, runs: [] },
  { name: 'one byte', size: 1, runs: [{ offset: 0, length: 1 }] },
  { name: 'no holes', size: 300_001, runs: [{ offset: 0, length: 300_001 }] },
  { name: 'no holes, larger than a chunk', size: 3 * MiB, runs: [{ offset: 0, length: 3 * MiB }] },
  { name: 'all holes', size: 5 * MiB, runs: [] },
  { name: 'a hole at the start', size: 2 * MiB, runs: [{ offset: MiB, length: MiB }] },
  {
    name: 'a hole in the middle',
    size: 3 * MiB + 5,
    runs: [
      { offset: 0, length: 8 * KiB },
      { offset: 2 * MiB, length: MiB + 5 },
    ],
  },
  { name: 'a hole at the end', size: 2 * MiB, runs: [{ offset: 0, length: 12 * KiB }] },
  {
    name: 'holes everywhere',
    size: 4 * MiB + 100,
    runs: Array.from({ length: 9 }, (_, i) => ({ offset: 300 * KiB * (i + 1), length: 64 * KiB })),
  },
  {
    name: 'thousands of extents',
    size: 16 * MiB,
    runs: Array.from({ length: 2000 }, (_, i) => ({ offset: 8 * KiB * i, length: 4 * KiB })),
  },
];
