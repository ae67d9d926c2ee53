import { type ChildEnd, ChildProcess } from '../../../shared/child-process.ts';
import { FailedError, InterruptedError, messageOf } from '../../../shared/errors.ts';
import { Semaphore } from '../../../shared/semaphore.ts';
import { printable, printableWords } from '../../../shared/printable.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import type { VolumeImage } from '../system.ts';
import {
  ANSWER,
  ANSWER_HEADER_LENGTH,
  formatReadRequest,
  IS_IT_UNCHANGED,
  LONGEST_OPENED,
  LONGEST_PIECE,
  LONGEST_SENTENCE,
  parseAnswerHeader,
  parseOpened,
  PipeReader,
} from './root-reader-protocol.ts';
import { sudoProblem } from '../../../shared/run-program.ts';

/**
 * The content of the volume at `path`, when only root may read it: coffer starts itself again through
 * sudo, and that process opens this one volume and sends its content through pipes
 * (`root-reader-server.ts`). It ends when its standard input does, so it never outlives coffer.
 *
 * @param command its command line without path and label: `sudo -n -- node coffer read-volume`
 * @param label for messages: `the volume private of work`
 * @param known where there is data; undefined: the process searches for it
 */
export async function openImageAsRoot(
  command: readonly string[],
  path: string,
  label: string,
  signal: AbortSignal,
  known?: readonly Extent[],
): Promise<VolumeImage> {
  if (signal.aborted) throw new InterruptedError(`coffer was stopped before it opened ${label}`);
  const options = known === undefined ? [] : ['--unsearched'];
  const process = new RootProcess([...command, path, label, ...options], label, signal);
  try {
    const { size, extents } = parseOpened(await process.nextAnswer(LONGEST_OPENED));
    // An answer does not say which question it belongs to.
    const turn = new Semaphore(1);
    return {
      size,
      extents: known ?? extents,
      read: (buffer, offset) =>
        turn.run(async () => {
          for (let done = 0; done < buffer.length; done += LONGEST_PIECE) {
            await process.ask(buffer.subarray(done, done + LONGEST_PIECE), offset + done);
          }
        }),
      requireUnchanged: () => turn.run(() => process.requireUnchanged()),
      [Symbol.asyncDispose]: () => process.end(),
    };
  } catch (error) {
    await process.end();
    throw error;
  }
}

class RootProcess {
  readonly #label: string;
  readonly #signal: AbortSignal;
  readonly #child: ChildProcess;
  readonly #answers: PipeReader;
  readonly #stop = () => this.#child.stdin.destroy();

  constructor(command: readonly string[], label: string, signal: AbortSignal) {
    this.#label = label;
    this.#signal = signal;
    this.#child = new ChildProcess(command, { stdin: 'pipe' });
    this.#answers = new PipeReader(this.#child.stdout);
    signal.addEventListener('abort', this.#stop);
  }

  /** Fills `buffer` from `offset` on. */
  async ask(buffer: Buffer, offset: number): Promise<void> {
    this.#child.stdin.write(formatReadRequest({ offset, length: buffer.length }));
    const length = await this.#nextLength(buffer.length);
    if (length !== buffer.length || !(await this.#answers.fill(buffer))) {
      throw new FailedError(
        `${this.#label} cannot be read as root: data is missing at byte ${offset}`,
      );
    }
  }

  /** Throws FailedError when the volume was changed since it was opened. */
  async requireUnchanged(): Promise<void> {
    this.#child.stdin.write(formatReadRequest(IS_IT_UNCHANGED));
    await this.#nextLength(0);
  }

  async nextAnswer(longest: number): Promise<Buffer> {
    const answer = await this.#answers.take(await this.#nextLength(longest));
    if (answer !== undefined) return answer;
    throw new FailedError(`${this.#label} cannot be read as root: an answer was cut short`);
  }

  async #nextLength(longest: number): Promise<number> {
    const header = Buffer.alloc(ANSWER_HEADER_LENGTH);
    const whole = await this.#answers.fill(header);
    if (this.#signal.aborted) {
      throw new InterruptedError(`coffer was stopped while it read ${this.#label}`);
    }
    if (!whole) {
      throw new FailedError(
        `${this.#label} cannot be read as root: ${whyEnded(await this.#child.ended)}`,
      );
    }
    const { kind, length } = parseAnswerHeader(header);
    if (kind === ANSWER.bytes && length <= longest) return length;
    const sentence = await this.#answers.take(Math.min(length, LONGEST_SENTENCE));
    throw new FailedError(
      printable(sentence?.toString() ?? `${this.#label} cannot be read as root`),
    );
  }

  async end(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#stop);
    this.#child.stdin.end();
    // Unread output would keep it from ending.
    this.#child.stdout.resume();
    await this.#child.ended;
  }
}

/** Why a process that should run as root has ended, in words. */
export function whyEnded({ notRun, untrustedStderr }: ChildEnd): string {
  if (notRun) return messageOf(notRun);
  const words = printableWords(untrustedStderr);
  return sudoProblem(untrustedStderr) ?? (words || 'the process ended');
}
