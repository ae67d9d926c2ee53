import type { Phase } from '../../shared/report.ts';
import type { QubeState } from './events.ts';
import { Speed } from './speed.ts';

/** What is worked on: a VM, or dom0's home, and about how many bytes. */
export interface Share {
  readonly name: string;
  readonly total: number;
}

/** How far a VM is. */
export interface QubeProgress {
  readonly name: string;
  readonly state: QubeState;
  /** What is in progress, or why it failed. */
  readonly what: string | undefined;
  readonly read: number;
  /** Without what is in an earlier backup. */
  readonly new: number;
  readonly total: number;
}

/** How far all is. */
export interface Standing {
  readonly phase: Phase;
  /** The current VM, and what of it. */
  readonly subject: string;
  /** Of the data: what the storage has confirmed, if there is one to confirm. */
  readonly bytes: number;
  readonly total: number;
  /** Bytes of the archive that the storage has confirmed. */
  readonly stored: number | undefined;
  /** Bytes a second. */
  readonly rate: number | undefined;
  readonly secondsLeft: number | undefined;
  readonly seconds: number;
}

/** What counts as done: what has been read, unless a storage has to confirm it. */
export interface Confirmation {
  readonly archiveBytes: number;
  /** How many of the bytes that have been read are in that much of the archive. */
  readonly dataBytes: number;
}

type Row = { -readonly [Key in keyof QubeProgress]: QubeProgress[Key] };

/** Phases in which the data is counted; in the others, all of it has been. */
const COUNTED: ReadonlySet<Phase> = new Set(['look', 'detect', 'send', 'receive', 'check']);

/** Keeps count of some work on VMs. */
export class Progress {
  phase: Phase;
  /** Undefined: nobody has to confirm anything. */
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

  /** A VM; undefined for one of which nothing was announced. */
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
    // Often less than was thought: what has not changed is not read.
    row.total = row.read;
  }

  get #expected(): number {
    return [...this.#qubes.values()].reduce((sum, { total }) => sum + total, 0);
  }

  /** To be called regularly: the rate is measured by that. */
  get standing(): Standing {
    const confirmation = this.#confirmed?.();
    const bytes = confirmation?.dataBytes ?? this.#read;
    // The total is an estimate: less is known when all has been read.
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
