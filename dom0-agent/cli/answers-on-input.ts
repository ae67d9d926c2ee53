import { stdin } from 'node:process';
import { InterruptedError, RefusedError, messageOf } from '../../shared/errors.ts';
import { KiB } from '../../shared/sizes.ts';
import type { Question } from './events.ts';
import { showEvent } from './output.ts';

const LINE_FEED = 0x0a;
/** In bytes: longer answers are refused. */
const LONGEST_ANSWER = 64 * KiB;

let areOnInput = false;

/** For `--questions`: from now on, questions are events, and the answers are read from standard input, one per line. */
export function takeAnswersFromInput(): void {
  areOnInput = true;
}

export function answersComeOnInput(): boolean {
  return areOnInput;
}

/** What was already read after the last answer. */
let ahead = Buffer.alloc(0);

/**
 * Asks the program that runs coffer, and returns its answer without the line feed. Throws RefusedError at the end of
 * the input, and InterruptedError.
 */
export async function askProgram(
  question: Question,
  text: string,
  signal: AbortSignal,
): Promise<Buffer> {
  showEvent({ event: 'question', question, text });
  try {
    return await nextLine(signal);
  } catch (error) {
    if (error instanceof RefusedError) throw error;
    if (signal.aborted) {
      throw new InterruptedError('interrupted: nothing was done', { cause: error });
    }
    throw new RefusedError(`standard input cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

async function nextLine(signal: AbortSignal): Promise<Buffer> {
  for (;;) {
    const end = ahead.indexOf(LINE_FEED);
    if (end >= 0) return takeLine(end);
    if (ahead.length > LONGEST_ANSWER) throw new RefusedError('the answer is longer than 64 KiB');
    const chunk = await nextChunk(signal);
    const former = ahead;
    ahead = Buffer.concat([former, chunk]);
    former.fill(0);
    chunk.fill(0);
  }
}

function takeLine(end: number): Buffer {
  const line = Buffer.from(ahead.subarray(0, end));
  const rest = Buffer.from(ahead.subarray(end + 1));
  ahead.fill(0);
  ahead = rest;
  return line;
}

/** Reads only when an answer is needed; otherwise, an open input would keep coffer from ending. */
function nextChunk(signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      stdin.pause();
      stdin.off('data', onData).off('end', onEnd).off('error', onError);
      signal.removeEventListener('abort', onAbort);
    };
    const onData = (chunk: Buffer): void => {
      done();
      resolve(chunk);
    };
    const onError = (error: unknown): void => {
      done();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const onEnd = (): void =>
      onError(new RefusedError('the input ended without an answer: nothing was done'));
    const onAbort = (): void => onError(signal.reason);
    if (signal.aborted) onAbort();
    else if (stdin.readableEnded) onEnd();
    else {
      signal.addEventListener('abort', onAbort, { once: true });
      stdin.on('data', onData).on('end', onEnd).on('error', onError).resume();
    }
  });
}
