import type { Phase } from '../../shared/report.ts';
import type { QubeState } from './events.ts';
import { Speed } from './speed.ts';

/** A part of the work: a VM or dom0, and about how many bytes it has. */
export interface Share {
  readonly name: string;
  readonly total: number;
}

/** The progress of a VM, in bytes. */
export interface QubeProgress {
  readonly name: string;
  readonly state: QubeState;
  /** What is in progress, or why it failed. */
  readonly what: string | undefined;
  readonly read: number;
  /** How much of `read` is not in an earlier backup. */
  readonly new: number;
  readonly total: number;
}

/** The progress of everything. */
export interface Standing {
  readonly phase: Phase;
  /** The current VM, and which part of it is in progress. */
  readonly subject: string;
  /** Bytes of data that were read, or if a storage has to confirm them, were confirmed. */
  readonly bytes: number;
  readonly total: number;
  /** Bytes of the archive that the storage has confirmed. */
  readonly stored: number | undefined;
  /** Bytes per second. */
  readonly rate: number | undefined;
  readonly secondsLeft: number | undefined;
  readonly seconds: number;
}

/** How much a storage has confirmed. */
export interface Confirmation {
  readonly archiveBytes: number;
  /** How many of the bytes that were read are in the confirmed part of the archive. */
  readonly dataBytes: number;
}

type Row = { -readonly [Key in keyof QubeProgress]: QubeProgress[Key] };

/** Phases in which data is read; in the others, all of it has been read. */
const COUNTED: ReadonlySet<Phase> = new Set(['look', 'detect', 'send', 'receive', 'check']);

/** Keeps count of the work on VMs. */
export class Progress {
  phase: Phase;
  /** Undefined: nothing has to be confirmed. */
  readonly #confirmed: (() => Confirmation) | undefined;
  readonly #speed: Speed;
  readonly #qubes: Map<string, Row>;
  #read = 0;
  #subject = '';

  constructor(
    phase: Phase,
    shares: readonly Share[],
    confirmed?: () => Confirmation,
    now: () => number = () => performance.now(),
  ) {
    this.phase = phase;
    this.#confirmed = confirmed;
    this.#speed = new Speed(now);
    this.#qubes = new Map(
      shares.map(({ name, total }) => [
        name,
        { name, state: 'working', what: undefined, read: 0, new: 0, total },
      ]),
    );
  }

  /** All bytes that have been read. */
  get read(): number {
    return this.#read;
  }

  /** The progress of a VM; undefined if it is not one of the shares. */
  qube(name: string): QubeProgress | undefined {
    return this.#qubes.get(name);
  }

  working(name: string, what: string): void {
    this.#subject = `${name}: ${what}`;
    const row = this.#qubes.get(name);
    if (row !== undefined) row.what = what;
  }

  advance(name: string, bytes: number): void {
    this.#read += bytes;
    const row = this.#qubes.get(name);
    if (row === undefined) return;
    row.read += bytes;
    row.new += bytes;
  }

  known(name: string, bytes: number): void {
    const row = this.#qubes.get(name);
    if (row !== undefined) row.new -= bytes;
  }

  finished(name: string, failure: string | undefined): void {
    const row = this.#qubes.get(name);
    if (row === undefined) return;
    row.state = failure === undefined ? 'done' : 'failed';
    row.what = failure;
    // Often less than estimated: data that has not changed is not read.
    row.total = row.read;
  }

  get #expected(): number {
    return [...this.#qubes.values()].reduce((sum, { total }) => sum + total, 0);
  }

  /** The progress now. To be called regularly, since that measures the rate. */
  get standing(): Standing {
    const confirmation = this.#confirmed?.();
    const bytes = confirmation?.dataBytes ?? this.#read;
    // The total is an estimate; once all has been read, it is known.
    const total = COUNTED.has(this.phase) ? Math.max(this.#expected, this.#read) : this.#read;
    const rate = this.#speed.measure(bytes);
    const { seconds } = this.#speed;
    return {
      ...{ phase: this.phase, subject: this.#subject, bytes, total },
      stored: confirmation?.archiveBytes,
      rate,
      secondsLeft: rate === undefined || bytes >= total ? undefined : (total - bytes) / rate,
      seconds,
    };
  }
}
