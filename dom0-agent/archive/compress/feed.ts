import { noteBuffer } from '../../../shared/buffer-collection.ts';
import type { ChildProcess } from '../../../shared/child-process.ts';
import { writeChunk } from '../write-chunk.ts';

/**
 * Writes `source` to a program's standard input, and ends it. A program may stop reading when it has
 * what it needs; the source is then read to its end all the same, so that what is wrong behind that
 * is noticed. Stops when the program fails or `isOver` says so. Rejects with the source's error only,
 * having closed the input.
 */
export async function feed(
  source: AsyncIterable<Buffer>,
  child: ChildProcess,
  isOver: () => boolean,
): Promise<void> {
  const { stdin } = child;
  // A broken pipe says no more than the exit status does.
  stdin.on('error', () => stdin.destroy());
  try {
    for await (const chunk of source) {
      if (isOver() || child.hasFailed) return;
      noteBuffer(chunk.length);
      await writeChunk(stdin, chunk);
    }
    stdin.end();
  } finally {
    if (!stdin.writableEnded) stdin.destroy();
  }
}
