import { formatSize } from '../../shared/sizes.ts';

/** In seconds: progress longer ago hardly counts for the estimated time left. */
const MEMORY = 15;
const MOST_BLOCKS = 40;
const FEWEST_BLOCKS = 5;

/** The progress of some work, as a line of text. */
export class ProgressLine {
  /** What is being worked on: a VM and its volume. */
  subject = '';
  readonly #total: number;
  readonly #now: () => number;
  #done = 0;
  #lastTime: number;
  #lastDone = 0;
  /** Bytes a second. */
  #rate: number | undefined;

  /**
   * @param total in bytes
   * @param now a clock, in milliseconds
   */
  constructor(total: number, now: () => number = () => performance.now()) {
    this.#total = total;
    this.#now = now;
    this.#lastTime = now();
  }

  advance(bytes: number): void {
    this.#done += bytes;
  }

  /** The line for this many columns; less important parts are left out if they do not fit. */
  format(columns: number): string {
    this.#measure();
    const share = Math.min(1, this.#done / this.#total);
    const figures = `${Math.floor(share * 100)} % of ${formatSize(this.#total)}${this.#timeLeft()}`;
    const subject = this.subject === '' ? '' : `  ${this.subject}`;
    const withSubject = figures.length + subject.length + FEWEST_BLOCKS + 3 <= columns;
    const text = withSubject ? `${figures}${subject}` : figures;
    const room = Math.min(MOST_BLOCKS, columns - text.length - 3);
    if (room < FEWEST_BLOCKS) return text;
    const blocks = Math.floor(share * room);
    return `[${'#'.repeat(blocks)}${'-'.repeat(room - blocks)}] ${text}`;
  }

  #measure(): void {
    const seconds = (this.#now() - this.#lastTime) / 1000;
    if (seconds < 1) return;
    const rate = (this.#done - this.#lastDone) / seconds;
    const weight = Math.min(1, seconds / MEMORY);
    this.#rate = this.#rate === undefined ? rate : this.#rate + weight * (rate - this.#rate);
    this.#lastTime = this.#now();
    this.#lastDone = this.#done;
  }

  #timeLeft(): string {
    if (this.#rate === undefined || this.#rate <= 0 || this.#done >= this.#total) return '';
    return `, ${formatDuration((this.#total - this.#done) / this.#rate)} left`;
  }
}

/** `12 s`, `3 min`, `2 h 05 min` */
function formatDuration(seconds: number): string {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}
