import { connect, type Socket } from 'node:net';

import { FailedError, InterruptedError, reasonOf, systemCodeOf } from '../../../shared/errors.ts';
import { printable } from '../../../shared/printable.ts';
import { Semaphore } from '../../../shared/semaphore.ts';
import { KiB, MiB } from '../../../shared/sizes.ts';
import { SystemGoneError } from '../system.ts';
import { AdminApiError, parseReply } from './admin-api-error.ts';

/** Where qubesd listens (QUBESD_SOCKET in qubes-core-admin-client). */
export const QUBESD_SOCKET = '/var/run/qubesd.sock';

/** qubesd silently drops a longer request (buffer_size in qubes/api/__init__.py). */
const REQUEST_LIMIT = 64 * KiB;
/** No reply that coffer asks for comes near this: the list of all VMs has about 100 bytes per VM. */
const REPLY_LIMIT = 16 * MiB;
/** qubesd handles one call at a time; a few open calls keep it busy. */
const CALLS_AT_ONCE = 16;
/** Creating or removing a large volume takes a while; a call that takes longer than this has hung. */
const DEFAULT_TIMEOUT = 120_000;

export interface AdminApiOptions {
  /** Default: `QUBESD_SOCKET`. */
  readonly socketPath?: string | undefined;
  /** How long qubesd may be silent, in milliseconds. Default: two minutes. */
  readonly timeout?: number | undefined;
  /** Ends every call. */
  readonly signal?: AbortSignal | undefined;
}

export interface CallOptions {
  readonly payload?: string | undefined;
  /** How long qubesd may be silent, in milliseconds, if the call is a slow one. */
  readonly timeout?: number | undefined;
}

/**
 * The Admin API, as dom0 may call it: calls `method` of `dest` with `arg`, and returns the data of
 * the reply.
 *
 * Any number of calls may be made at once. Throws AdminApiError when qubesd answers with an exception
 * or not at all, SystemGoneError when it is not running or goes away, FailedError when it cannot be
 * reached for another reason, InterruptedError when the signal fires. Nothing is retried.
 */
export type AdminApi = (
  dest: string,
  method: string,
  arg?: string,
  options?: CallOptions,
) => Promise<string>;

/** The Admin API behind qubesd's socket. Connects for each call, as qubesd's protocol requires. */
export function openAdminApi(options: AdminApiOptions = {}): AdminApi {
  const { socketPath = QUBESD_SOCKET, signal, timeout: usual = DEFAULT_TIMEOUT } = options;
  const places = new Semaphore(CALLS_AT_ONCE);
  const open = new Set<Socket>();
  // How often the connection to qubesd was lost, and why the last time: queued calls then fail as well.
  let losses = 0;
  let lost: Error | undefined;
  signal?.addEventListener('abort', () => {
    for (const socket of open) socket.destroy(new Error('aborted'));
  });

  return async (dest, method, arg = '', { payload = '', timeout = usual } = {}) => {
    const call = `${method}${arg && `+${printable(arg, 80)}`} for ${printable(dest, 80)}`;
    const request = formatRequest(dest, method, arg, payload, call);
    const lossesBefore = losses;
    return await places.run(async () => {
      if (signal?.aborted) throw new InterruptedError(`coffer was stopped before ${call}`);
      if (losses > lossesBefore && lost !== undefined) throw lost;
      const socket = connect({ path: socketPath, allowHalfOpen: true });
      open.add(socket);
      try {
        return parseReply(await exchange(socket, request, timeout), call).toString('utf8');
      } catch (error) {
        if (signal?.aborted) throw new InterruptedError(`coffer was stopped during ${call}`);
        if (error instanceof AdminApiError) throw error;
        losses += 1;
        lost = explained(error, call, socketPath);
        throw lost;
      } finally {
        open.delete(socket);
        socket.destroy();
      }
    });
  };
}

/** `METHOD+ARG dom0 name DEST` NUL payload. A space or NUL in a word would make it a different request. */
function formatRequest(
  dest: string,
  method: string,
  arg: string,
  payload: string,
  call: string,
): Buffer {
  const isAskable = /^[\w.]+$/.test(method) && [dest, arg].every((word) => /^[!-~]*$/.test(word));
  if (!isAskable) {
    throw new FailedError(
      `qubesd cannot be asked for ${call}: a name in it contains a space, or is not ASCII`,
    );
  }
  const request = Buffer.from(`${method}+${arg} dom0 name ${dest}\0${payload}`, 'utf8');
  if (request.length >= REQUEST_LIMIT) {
    throw new FailedError(
      `qubesd cannot be asked for ${call}: ${request.length} bytes are more than its limit of 64 KiB`,
    );
  }
  return request;
}

async function exchange(socket: Socket, request: Buffer, timeout: number): Promise<Buffer> {
  socket.setTimeout(timeout, () => {
    socket.destroy(new TimeoutError(`did not answer within ${timeout / 1000} s`));
  });
  socket.end(request);
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of socket as AsyncIterable<Buffer>) {
    length += piece.length;
    if (length > REPLY_LIMIT) throw new FailedError('qubesd sent a reply of more than 16 MiB');
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

class TimeoutError extends Error {}

/** What a broken connection means, and what to do about it. */
function explained(error: unknown, call: string, socketPath: string): Error {
  if (error instanceof FailedError) return error;
  if (error instanceof TimeoutError) {
    return new FailedError(
      `qubesd ${error.message} (${call}): see "sudo systemctl status qubesd" in dom0`,
    );
  }
  switch (systemCodeOf(error)) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return new SystemGoneError(
        `qubesd is not running (nothing listens at ${socketPath}): start it with ` +
          `"sudo systemctl start qubesd", and run coffer in dom0`,
      );
    case 'EACCES':
      return new FailedError(
        `qubesd's socket ${socketPath} cannot be used by this user, but only by root and the group "qubes"`,
      );
    case 'ECONNRESET':
    case 'EPIPE':
      return new SystemGoneError(
        `qubesd closed the connection in the middle of ${call}: if it is restarting, try again in a moment`,
      );
    case undefined:
    default:
      return new FailedError(`qubesd cannot be asked for ${call}: ${reasonOf(error)}`);
  }
}
