import type { Readable, Writable } from 'node:stream';

import { FailedError, messageOf } from '../../../shared/errors.ts';
import { MiB } from '../../../shared/sizes.ts';
import type { Extent } from '../../../shared/sparse-data.ts';
import {
  ANSWER,
  formatAnswerHeader,
  formatOpened,
  IS_IT_UNCHANGED,
  LONGEST_PIECE,
  parseReadRequest,
  PipeReader,
  QUESTION_LENGTH,
} from './root-reader-protocol.ts';
import { openImage } from './open-image.ts';

/**
 * What the hidden command `coffer read-volume PATH LABEL` does, as root: opens one image, and sends what
 * it is asked for until `questions` ends. It writes no files and runs no programs.
 *
 * @param known see `openImage`
 */
export async function serveImage(
  path: string,
  label: string,
  questions: Readable,
  answers: Writable,
  known?: readonly Extent[],
): Promise<void> {
  const stop = new AbortController();
  questions.once('close', () => stop.abort());
  answers.once('error', () => stop.abort());
  try {
    await using image = await openImage(path, label, stop.signal, known);
    await answer(answers, ANSWER.bytes, formatOpened(image));

    const reader = new PipeReader(questions);
    const question = Buffer.alloc(QUESTION_LENGTH);
    let buffer = Buffer.alloc(MiB);
    while (await reader.fill(question)) {
      const { offset, length } = parseReadRequest(question);
      if (length === IS_IT_UNCHANGED.length) {
        await image.requireUnchanged();
        await answer(answers, ANSWER.bytes, Buffer.alloc(0));
        continue;
      }
      if (length > LONGEST_PIECE) throw new FailedError(`a piece of ${length} bytes is too long`);
      if (length > buffer.length) buffer = Buffer.alloc(length);
      const piece = buffer.subarray(0, length);
      await image.read(piece, offset);
      await answer(answers, ANSWER.bytes, piece);
    }
  } catch (error) {
    if (stop.signal.aborted) return;
    await answer(answers, ANSWER.failure, Buffer.from(messageOf(error)));
  }
}

/** Resolves when the bytes have been written: then their buffer can be reused. */
async function answer(answers: Writable, kind: number, bytes: Buffer): Promise<void> {
  answers.write(formatAnswerHeader(kind, bytes.length));
  await new Promise<void>((resolve, reject) => {
    answers.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}
