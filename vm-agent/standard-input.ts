import { fstatSync } from 'node:fs';
import { Socket } from 'node:net';
import type { OnReadOpts, SocketConstructorOpts } from 'node:net';
import { KiB } from '../shared/sizes.ts';

/** How much is read at once, in bytes. */
const AT_ONCE = 256 * KiB;

/**
 * Standard input in chunks, all in the same buffer: a chunk is valid only until the next is asked for. An ordinary
 * stream allocates memory for every 64 KiB, which increases the program's memory by half. Anything but a pipe or a
 * socket is read as an ordinary stream.
 */
export function standardInput(): AsyncIterable<Buffer> {
  const stats = fstatSync(0);
  return stats.isFIFO() || stats.isSocket() ? chunksOf(0) : process.stdin;
}

async function* chunksOf(fd: number): AsyncGenerator<Buffer, void> {
  const buffer = Buffer.allocUnsafeSlow(AT_ONCE);
  let turn = new Turn();
  // The types do not know that the constructor takes `onread` as `connect` does.
  const options: SocketConstructorOpts & { readonly onread: OnReadOpts } = {
    fd,
    readable: true,
    writable: false,
    onread: {
      buffer,
      callback: (bytesRead) => {
        turn.resolve(bytesRead);
        // Pause until this has been processed.
        return false;
      },
    },
  };
  const socket = new Socket(options);
  socket.once('end', () => turn.resolve(0));
  socket.once('error', (error) => turn.reject(error));
  for (;;) {
    socket.resume();
    const bytesRead = await turn.bytesRead;
    if (bytesRead === 0) return;
    turn = new Turn();
    yield buffer.subarray(0, bytesRead);
  }
}

/** The next read. */
class Turn {
  resolve: (bytesRead: number) => void = () => undefined;
  reject: (error: Error) => void = () => undefined;
  readonly bytesRead = new Promise<number>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });
}
