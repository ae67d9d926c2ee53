import { noteBuffer } from '../../../shared/buffer-collection.ts';
import type { ChildProcess } from '../../../shared/child-process.ts';
import { writeChunk } from '../write-chunk.ts';

/**
 * Writes `source` to a program's standard input, and closes it. A program may stop reading when it has what
 * it needs; the source is still read to its end, so that errors after that are noticed. Stops when the
 * program fails or `isOver` says so. Rejects only with the source's error, after closing the input.
 */
export async function feed(
  source: AsyncIterable<Buffer>,
  child: ChildProcess,
  isOver: () => boolean,
): Promise<void> {
  const { stdin } = child;
  // A broken pipe shows in the exit status.
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
