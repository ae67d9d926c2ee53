import type { Readable } from 'node:stream';

/**
 * Keeps what a child process has written until somebody reads it. Otherwise Node throws it away
 * when the process ends before the reading begins: it takes a stream without a listener for one
 * that nobody wants.
 */
export function holdOutput(stdout: Readable): void {
  stdout.on('readable', () => undefined);
}
