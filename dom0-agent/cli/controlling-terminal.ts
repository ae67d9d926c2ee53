import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { InterruptedError, RefusedError, messageOf } from '../../shared/errors.ts';
import { printable } from '../../shared/printable.ts';
import { untilInForeground } from './job-control.ts';
import { readUntil } from './read-passphrase.ts';
import { TerminalModes } from './terminal-modes.ts';

const DEVICE = '/dev/tty';
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * The terminal that coffer was started from, regardless of its standard input, output and error, for asking
 * questions. The kernel handles line editing and echo, and buffers what is typed ahead, so that each answer takes
 * exactly one line. Disposing of it restores the terminal.
 */
export class ControllingTerminal implements Disposable {
  readonly #output: number;
  readonly #signal: AbortSignal;
  readonly #modes: TerminalModes;
  #prompt = '';

  private constructor(output: number, signal: AbortSignal) {
    this.#output = output;
    this.#signal = signal;
    // After Ctrl-Z and fg, the question is shown again.
    this.#modes = new TerminalModes(output, () => this.#write(this.#prompt));
  }

  /** Throws RefusedError with `advice` when there is no terminal. */
  static require(advice: string): void {
    closeSync(openDevice(advice));
  }

  /** Whether there is a terminal. */
  static isThere(): boolean {
    try {
      ControllingTerminal.require('');
      return true;
    } catch (error) {
      if (error instanceof RefusedError) return false;
      throw error;
    }
  }

  /** Opens the terminal. Throws like `require`. */
  static open(advice: string, signal: AbortSignal): ControllingTerminal {
    return new ControllingTerminal(openDevice(advice), signal);
  }

  /** Shows a line. */
  tell(text: string): void {
    this.#write(`${printable(text)}\n`);
  }

  /**
   * Asks, and returns the line that is typed, without its end. Throws RefusedError at the end of the input, and
   * InterruptedError as soon as the signal is aborted.
   */
  async ask(prompt: string): Promise<Buffer> {
    await untilInForeground(this.#signal);
    this.#modes.set('echo');
    try {
      return await this.#answer(prompt);
    } catch (error) {
      // Nobody pressed Enter, which would have ended the line.
      this.#write('\n');
      throw error;
    }
  }

  /** The same, without showing what is typed. */
  async askSecretly(prompt: string): Promise<Buffer> {
    await untilInForeground(this.#signal);
    this.#modes.set('-echo');
    try {
      return await this.#answer(prompt);
    } finally {
      // Enter was not echoed either.
      this.#write('\n');
    }
  }

  async #answer(prompt: string): Promise<Buffer> {
    this.#prompt = printable(prompt);
    this.#write(this.#prompt);
    try {
      return await readLine(this.#signal);
    } catch (error) {
      if (this.#signal.aborted) {
        throw new InterruptedError('interrupted: nothing was done', { cause: error });
      }
      throw error;
    }
  }

  #write(text: string): void {
    try {
      writeSync(this.#output, text);
    } catch {
      // The terminal is gone: reading from it will fail.
    }
  }

  [Symbol.dispose](): void {
    this.#modes[Symbol.dispose]();
    closeSync(this.#output);
  }
}

function openDevice(advice: string): number {
  try {
    return openSync(DEVICE, constants.O_RDWR | constants.O_NOCTTY);
  } catch (error) {
    throw new RefusedError(advice, { cause: error });
  }
}

/** One line of the terminal, without its end. */
async function readLine(signal: AbortSignal): Promise<Buffer> {
  signal.throwIfAborted();
  // A stream for each line: a shared one would read ahead.
  const input = new ReadStream(openSync(DEVICE, constants.O_RDONLY | constants.O_NOCTTY));
  const abort = (): void => void input.destroy(new Error('interrupted'));
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await firstLine(input);
  } catch (error) {
    if (error instanceof RefusedError || signal.aborted) throw error;
    throw new RefusedError(`the terminal cannot be read: ${messageOf(error)}`, { cause: error });
  } finally {
    signal.removeEventListener('abort', abort);
    input.destroy();
  }
}

async function firstLine(input: ReadStream): Promise<Buffer> {
  const endOf = (typed: Buffer): number =>
    typed.findIndex((byte) => byte === LINE_FEED || byte === CARRIAGE_RETURN);
  const typed = await readUntil(input, (bytes) => endOf(bytes) >= 0);
  if (endOf(typed) >= 0) return typed.subarray(0, endOf(typed));
  throw new RefusedError('the input ended without an answer: nothing was done');
}
