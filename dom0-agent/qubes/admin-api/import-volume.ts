import { buffer as wholeOf } from 'node:stream/consumers';
import type { Writable } from 'node:stream';

import { ChildProcess, whyNotRun } from '../../../shared/child-process.ts';
import { FailedError, InterruptedError } from '../../../shared/errors.ts';
import { printableWords } from '../../../shared/printable.ts';
import { MiB } from '../../../shared/sizes.ts';
import type { DataPiece } from '../../../shared/sparse-data.ts';
import { volumeLabel } from '../qube.ts';
import { parseReply } from './admin-api-error.ts';

/** The service that takes a volume's content (qubes-rpc/admin.vm.volume.Import in core-admin). */
const IMPORT_SERVICE = '/etc/qubes-rpc/admin.vm.volume.ImportWithSize';

export interface ImportOptions {
  /** Default: `IMPORT_SERVICE`. */
  readonly service?: string | undefined;
  /** The prefix of a command that needs root; see `rootPrefix`. */
  readonly rootPrefix: readonly string[];
}

export interface ImportedVolume {
  readonly qubeName: string;
  readonly volume: string;
  /** In bytes. */
  readonly size: number;
}

/** The content of a hole. Never written to. */
const ZEROS = Buffer.alloc(MiB);

/**
 * Replaces a volume's content: `size` bytes, of which `pieces` has those that are not zero. If `pieces` throws or the
 * signal fires, the volume keeps its old content: the service commits only after exactly `size` bytes, so the last byte
 * is not sent until everything else has succeeded. Throws FailedError or InterruptedError.
 */
export async function importVolume(
  { qubeName, volume, size }: ImportedVolume,
  pieces: AsyncIterable<DataPiece>,
  signal: AbortSignal,
  { service = IMPORT_SERVICE, rootPrefix }: ImportOptions,
): Promise<void> {
  const label = volumeLabel(qubeName, volume);
  // Without a last byte to hold back, nothing could be undone; and no pool has such volumes.
  if (size < 1) throw new FailedError(`${label} cannot be made ${size} bytes long`);

  // The service is never killed: that would leave the pool with an unfinished import.
  const command = [
    ...rootPrefix,
    'env',
    'QREXEC_REMOTE_DOMAIN=dom0',
    `QREXEC_REQUESTED_TARGET=${qubeName}`,
    service,
    volume,
  ];
  const child = new ChildProcess(command, { stdin: 'pipe' });
  // Checked below: a service that stops reading says why in its reply.
  const outcome = Promise.all([wholeOf(child.stdout), child.ended]);
  outcome.catch(() => undefined);
  const stop = () => child.stdin.destroy();
  signal.addEventListener('abort', stop);

  try {
    const isWhole = await sendContent(child.stdin, size, pieces, label).finally(() => {
      child.stdin.end();
      // Wait for its end in any case: by then the old content is back in place.
      return outcome.catch(() => undefined);
    });
    const [reply, { notRun, untrustedStderr }] = await outcome;
    if (notRun)
      throw new FailedError(`${label} cannot be written: ${whyNotRun(command[0] ?? '', notRun)}`);
    checkReply(reply, untrustedStderr, label);
    if (!isWhole)
      throw new FailedError(`${label} was only imported in part, and Qubes does not say why`);
  } catch (error) {
    if (signal.aborted) throw new InterruptedError(`coffer was stopped while it wrote ${label}`);
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/**
 * Sends `pieces` with zeros between them. The last byte is sent when `pieces` has ended without an
 * error. False when the other side stopped reading.
 */
async function sendContent(
  input: Writable,
  size: number,
  pieces: AsyncIterable<DataPiece>,
  label: string,
): Promise<boolean> {
  await send(input, Buffer.from(`${size}\n`));
  let sent = 0;
  let last: Buffer = ZEROS.subarray(0, 1);
  for await (const { offset, bytes } of pieces) {
    if (input.destroyed) return false;
    if (bytes.length === 0) continue;
    const end = offset + bytes.length;
    if (offset < sent || end > size) {
      throw new FailedError(`${label} was given data out of place, at byte ${offset}`);
    }
    await sendZeros(input, offset - sent);
    if (end === size) {
      last = Buffer.from(bytes.subarray(-1));
      await send(input, bytes.subarray(0, -1));
      sent = size - 1;
    } else {
      await send(input, bytes);
      sent = end;
    }
  }
  await sendZeros(input, size - 1 - sent);
  await send(input, last);
  return !input.destroyed;
}

async function sendZeros(input: Writable, count: number): Promise<void> {
  for (let left = count; left > 0; left -= ZEROS.length) {
    await send(input, ZEROS.subarray(0, Math.min(left, ZEROS.length)));
  }
}

/** Resolves when the bytes have been taken, so that their buffer can be reused, or when they never will be. */
async function send(input: Writable, bytes: Buffer): Promise<void> {
  if (input.destroyed || bytes.length === 0) return;
  await new Promise<void>((resolve) => input.write(bytes, () => resolve()));
}

function checkReply(reply: Buffer, untrustedStderr: string, label: string): void {
  const words = printableWords(untrustedStderr);
  if (reply.length === 0 && words !== '') {
    throw new FailedError(`${label} cannot be written: ${words}`);
  }
  parseReply(reply, `the import of ${label}`);
}
