import type { FileHandle } from 'node:fs/promises';
import { FailedError, messageOf } from '../../../shared/errors.ts';

/** Fills `buffer` from `offset` of a file on. Throws FailedError, naming `label`, when it cannot. */
export async function readWhole(
  file: FileHandle,
  buffer: Buffer,
  offset: number,
  label: string,
): Promise<void> {
  let filled = 0;
  while (filled < buffer.length) {
    const at = offset + filled;
    const { bytesRead } = await file
      .read(buffer, filled, buffer.length - filled, at)
      .catch((error: unknown) => {
        throw new FailedError(`${label} cannot be read at byte ${at}: ${messageOf(error)}`);
      });
    if (bytesRead === 0) {
      throw new FailedError(`${label} shrank while it was read: it ends at byte ${at}`);
    }
    filled += bytesRead;
  }
}
