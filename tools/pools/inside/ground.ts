import type { PoolDetector } from '../../../dom0-agent/qubes/changes/pool-detector.ts';
import type { Notes } from '../../../dom0-agent/qubes/changes/notes.ts';

/** Where a volume lives that is played with: a pool of one kind, which does to it what Qubes does. */
export interface Ground {
  readonly name: string;
  /** Bytes that the pool places together: in other places only as a whole. */
  readonly blockSize: number;
  /** The volume's id in its pool. */
  readonly vid: string;
  /** Whether its VM runs. */
  readonly isRunning: boolean;
  /** A new detector of the pool. */
  detector(series: string, notes: Notes, warn: (text: string) => void): Promise<PoolDetector>;
  /** The file or device with the committed content. */
  readonly committed: string;
  /** The file or device that is written to now: while the VM runs, its own; otherwise the committed one. */
  readonly writable: string;

  start(): Promise<void>;
  /** What the VM has written becomes the committed content; the former becomes a revision. */
  stop(): Promise<void>;
  /** The last revision becomes the committed content. Only while the VM is halted. */
  revert(): Promise<void>;
  /** Another volume shares the content from now on, and is removed when the next is made. */
  clone(): Promise<void>;
  discard(offset: number, length: number): Promise<void>;
  grow(bytes: number): Promise<void>;
  /** What the kind of pool may do beyond that: it is defragmented, or activated anew. */
  disturb(): Promise<void>;
}
