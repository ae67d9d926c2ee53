import type { PoolDetector } from '../../../dom0-agent/qubes/changes/pool-detector.ts';
import type { Notes } from '../../../dom0-agent/qubes/changes/notes.ts';

/** A volume in a real pool of some kind, and what Qubes does with it. */
export interface Ground {
  readonly name: string;
  /** The size of the pool's blocks, in bytes: changes are only known for whole blocks. */
  readonly blockSize: number;
  /** The volume's id in its pool. */
  readonly vid: string;
  /** Whether its VM is running. */
  readonly isRunning: boolean;
  /** Opens a detector for the pool. */
  detector(series: string, notes: Notes, warn: (text: string) => void): Promise<PoolDetector>;
  /** The path of the committed content. */
  readonly committed: string;
  /** The path that is written to now: while the VM is running, its own copy; otherwise the committed content. */
  readonly writable: string;

  /** Starts the VM. */
  start(): Promise<void>;
  /** Stops the VM: what it has written becomes the committed content, and the former one a revision. */
  stop(): Promise<void>;
  /** Makes the last revision the committed content. Only while the VM is halted. */
  revert(): Promise<void>;
  /** Clones the volume, so that it shares blocks with another one. A former clone is removed. */
  clone(): Promise<void>;
  discard(offset: number, length: number): Promise<void>;
  grow(bytes: number): Promise<void>;
  /** Does something that is specific to the kind of pool, such as defragmenting it, or activating it again. */
  disturb(): Promise<void>;
}
