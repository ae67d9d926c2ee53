import type { Readable } from 'node:stream';
import { printable } from '../../../shared/printable.ts';

/** So many are told one by one. */
const MOST_TOLD = 10;
/** No line of tar's is longer, in characters: it names one path. */
const LONGEST_LINE = 20_000;
/** So much is kept of what others say, in characters. */
const MOST_OF_OTHERS = 2000;

/** A list without end, of which the first items and their number are kept: `a; b; and 7 more`. */
export class FirstFew {
  readonly #first: string[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(item: string): void {
    this.#count++;
    if (this.#first.length < MOST_TOLD) this.#first.push(item);
  }

  toString(): string {
    const more = this.#count - this.#first.length;
    return [...this.#first, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
  }
}

/**
 * What GNU tar, with LC_ALL=C, says of files on its standard error, however much that is; ready to be
 * shown. Sockets, which no tar can hold and which mean nothing once their program is gone, are not told.
 */
export class TarComplaints {
  /** Files that changed, shrank or went while they were read: the rest of them is in the tar. */
  readonly changed = new FirstFew();
  /** Everything else: what could not be read or made. */
  readonly failed = new FirstFew();
  /** There is no space for what tar unpacks. */
  isFull = false;
  /** What was said by another: the program that was to run tar. */
  ofOthers = '';
  #line = '';

  constructor(stderr: Readable) {
    stderr.setEncoding('utf8');
    stderr.on('data', (text: string) => {
      const lines = (this.#line + text).split('\n');
      this.#line = (lines.pop() ?? '').slice(0, LONGEST_LINE);
      for (const line of lines) this.#note(line);
    });
    stderr.on('end', () => this.#note(this.#line));
    // A stream that breaks off simply ends here.
    stderr.on('error', () => undefined);
  }

  #note(line: string): void {
    if (line === '' || OF_NO_FILE.test(line)) return;
    if (!line.startsWith('tar: ')) {
      this.ofOthers = `${this.ofOthers}${line}\n`.slice(0, MOST_OF_OTHERS);
      return;
    }
    this.isFull ||= NO_SPACE.test(line);
    const list = CHANGED.test(line) ? this.changed : this.failed;
    list.add(printable(line.replace(/^tar: (\.\/)?/, '')));
  }
}

const OF_NO_FILE =
  /: socket ignored$|^tar: (Exiting with failure status due to previous errors|Error is not recoverable: exiting now)$/;
const CHANGED =
  /: (file changed as we read it|File shrank by \d+ bytes?; padding with zeros|File removed before we read it)$/;
const NO_SPACE = /: (No space left on device|Disk quota exceeded)$/;
