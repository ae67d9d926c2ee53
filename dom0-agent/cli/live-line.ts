import type { WriteStream } from 'node:tty';

/** In milliseconds. */
const REFRESH = 200;
/** Used if the terminal's width is unknown. */
const USUAL_COLUMNS = 80;

/**
 * A line at the bottom of a terminal's output that is redrawn regularly. It does not keep the program alive.
 */
export class LiveLine {
  readonly #stream: WriteStream;
  #draw: ((columns: number) => string) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #shownWidth = 0;

  constructor(stream: WriteStream) {
    this.#stream = stream;
  }

  /** Shows the result of `draw`, regularly updated; nothing if there is no terminal. */
  start(draw: (columns: number) => string): void {
    if (!this.#stream.isTTY) return;
    this.end();
    this.#draw = draw;
    this.#timer = setInterval(() => this.#show(), REFRESH).unref();
    this.#stream.on('resize', this.#redraw);
    this.#show();
  }

  /** Removes the line. */
  end(): void {
    if (this.#draw === undefined) return;
    this.#clear();
    this.#draw = undefined;
    clearInterval(this.#timer);
    this.#stream.off('resize', this.#redraw);
  }

  /** Writes something in place of the line, and shows the line below it. */
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
    // With a character in the last column, some terminals wrap to the next line.
    const text = this.#draw(this.#columns - 1).slice(0, this.#columns - 1);
    const rest = text.length < this.#shownWidth ? '\x1b[K' : '';
    this.#stream.write(`\r${text}${rest}`);
    this.#shownWidth = text.length;
  }

  #clear(): void {
    if (this.#shownWidth === 0) return;
    // If the terminal has become narrower, the line was wrapped.
    const up = Math.ceil(this.#shownWidth / this.#columns) - 1;
    this.#stream.write(`${up > 0 ? `\x1b[${up}A` : ''}\r\x1b[J`);
    this.#shownWidth = 0;
  }

  get #columns(): number {
    return this.#stream.columns > 0 ? this.#stream.columns : USUAL_COLUMNS;
  }
}
