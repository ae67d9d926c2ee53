import type { WriteStream } from 'node:tty';

/** In milliseconds. */
const REFRESH = 200;
/** Shown where the terminal does not tell its width. */
const USUAL_COLUMNS = 80;

/**
 * A line at the lower end of what was written to a terminal, drawn anew again and again. Nothing keeps the
 * program alive for its sake.
 */
export class LiveLine {
  readonly #stream: WriteStream;
  #draw: ((columns: number) => string) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #shownWidth = 0;

  constructor(stream: WriteStream) {
    this.#stream = stream;
  }

  /** Shows what `draw` gives, now and again; nothing where there is no terminal. */
  start(draw: (columns: number) => string): void {
    if (!this.#stream.isTTY) return;
    this.end();
    this.#draw = draw;
    this.#timer = setInterval(() => this.#show(), REFRESH).unref();
    this.#stream.on('resize', this.#redraw);
    this.#show();
  }

  /** Takes the line away. */
  end(): void {
    if (this.#draw === undefined) return;
    this.#clear();
    this.#draw = undefined;
    clearInterval(this.#timer);
    this.#stream.off('resize', this.#redraw);
  }

  /** Lets something be written where the line is, and shows the line below. */
  above(write: () => void): void {
    this.#clear();
    write();
    this.#show();
  }

  readonly #redraw = (): void => {
    this.#clear();
    this.#show();
  };

  #show(): void {
    if (this.#draw === undefined) return;
    // A character in the last column would put some terminals into the next line.
    const text = this.#draw(this.#columns - 1).slice(0, this.#columns - 1);
    const rest = text.length < this.#shownWidth ? '\x1b[K' : '';
    this.#stream.write(`\r${text}${rest}`);
    this.#shownWidth = text.length;
  }

  #clear(): void {
    if (this.#shownWidth === 0) return;
    // A terminal that has become narrower has broken the line into several.
    const up = Math.ceil(this.#shownWidth / this.#columns) - 1;
    this.#stream.write(`${up > 0 ? `\x1b[${up}A` : ''}\r\x1b[J`);
    this.#shownWidth = 0;
  }

  get #columns(): number {
    return this.#stream.columns > 0 ? this.#stream.columns : USUAL_COLUMNS;
  }
}
