import type { WriteStream } from 'node:tty';

/** How often the lines are redrawn, in ms. */
const REFRESH = 200;

/**
 * Some lines at the bottom of a terminal's output that are redrawn regularly. The timer does not keep the program
 * running.
 */
export class LiveBlock {
  readonly #stream: WriteStream;
  #draw: ((columns: number) => readonly string[]) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #shown: readonly string[] = [];

  constructor(stream: WriteStream) {
    this.#stream = stream;
  }

  get isShown(): boolean {
    return this.#draw !== undefined;
  }

  /** Shows the result of `draw`, regularly updated; nothing if there is no terminal. */
  start(draw: (columns: number) => readonly string[]): void {
    if (!this.#stream.isTTY) return;
    this.end();
    this.#draw = draw;
    this.#timer = setInterval(this.#redraw, REFRESH).unref();
    this.#stream.on('resize', this.#redraw);
    this.#redraw();
  }

  /** Removes the lines. */
  end(): void {
    if (this.#draw === undefined) return;
    this.#stream.write(this.#clearing());
    this.#shown = [];
    this.#draw = undefined;
    clearInterval(this.#timer);
    this.#stream.off('resize', this.#redraw);
  }

  /** Removes the lines while `write` writes something, and shows them again below it. */
  above(write: () => void): void {
    if (this.#shown.length > 0) this.#stream.write(this.#clearing());
    this.#shown = [];
    write();
    this.#redraw();
  }

  readonly #redraw = (): void => {
    if (this.#draw === undefined) return;
    const columns = columnsOf(this.#stream);
    // With a character in the last column, some terminals wrap to the next line.
    const lines = this.#draw(columns - 1).map((line) => line.slice(0, columns - 1));
    // In one write, so that nothing flickers.
    this.#stream.write(`${this.#clearing()}${lines.join('\n')}`);
    this.#shown = lines;
  };

  /** The control sequence that moves the cursor to the beginning of the block and clears the rest of the screen. */
  #clearing(): string {
    if (this.#shown.length === 0) return '';
    // If the terminal has become narrower, the lines were wrapped.
    const columns = columnsOf(this.#stream);
    const rows = this.#shown.reduce(
      (sum, { length }) => sum + Math.max(1, Math.ceil(length / columns)),
      0,
    );
    return `${rows > 1 ? `\x1b[${rows - 1}A` : ''}\r\x1b[J`;
  }
}

/** The width of a terminal that does not know its own. */
const USUAL_COLUMNS = 80;

/** The width of a terminal. */
export function columnsOf({ columns }: WriteStream): number {
  return columns > 0 ? columns : USUAL_COLUMNS;
}
