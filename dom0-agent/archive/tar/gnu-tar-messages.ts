import type { Readable } from 'node:stream';
import { printable } from '../../../shared/printable.ts';

/** How many messages of a kind are listed. */
const MOST_LISTED = 10;
/** The longest line of tar, in characters: each names one path. */
const LONGEST_LINE = 20_000;
/** How much of the output that is not tar's is kept, in characters. */
const MOST_OTHER_OUTPUT = 2000;

/** A list of any length, of which the first items and the count are kept: `a; b; and 7 more`. */
class FirstFew {
  readonly #first: string[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(item: string): void {
    this.#count++;
    if (this.#first.length < MOST_LISTED) this.#first.push(item);
  }

  toString(): string {
    const more = this.#count - this.#first.length;
    return [...this.#first, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
  }
}

/**
 * The messages about files on GNU tar's standard error, run with LC_ALL=C, however many there are; printable.
 * Sockets are left out: they cannot be in a tar, and mean nothing once their program has ended.
 */
export class GnuTarMessages {
  /** Files that changed, shrank or disappeared while they were read: what was read of them is in the tar. */
  readonly changed = new FirstFew();
  /** Everything else: what could not be read or created. */
  readonly failed = new FirstFew();
  /** Whether tar ran out of space. */
  isOutOfSpace = false;
  /** Output of another program: the one that was to run tar, such as sudo. */
  otherOutput = '';
  #line = '';

  constructor(stderr: Readable) {
    stderr.setEncoding('utf8');
    stderr.on('data', (text: string) => {
      const lines = (this.#line + text).split('\n');
      this.#line = (lines.pop() ?? '').slice(0, LONGEST_LINE);
      for (const line of lines) this.#sort(line);
    });
    stderr.on('end', () => this.#sort(this.#line));
    // A read error is treated as the end.
    stderr.on('error', () => undefined);
  }

  #sort(line: string): void {
    if (line === '' || OF_NO_INTEREST.test(line)) return;
    if (!line.startsWith('tar: ')) {
      this.otherOutput = `${this.otherOutput}${line}\n`.slice(0, MOST_OTHER_OUTPUT);
      return;
    }
    this.isOutOfSpace ||= NO_SPACE.test(line);
    const list = CHANGED.test(line) ? this.changed : this.failed;
    list.add(printable(line.replace(/^tar: (\.\/)?/, '')));
  }
}

const OF_NO_INTEREST =
  /: socket ignored$|^tar: (Exiting with failure status due to previous errors|Error is not recoverable: exiting now)$/;
const CHANGED =
  /: (file changed as we read it|File shrank by \d+ bytes?; padding with zeros|File removed before we read it)$/;
const NO_SPACE = /: (No space left on device|Disk quota exceeded)$/;
