import { FailedError } from '../../../shared/errors.ts';
import { printable, printableWords } from '../../../shared/printable.ts';

/** The type that stands for an empty reply: the call was refused, or failed inside qubesd. */
export const NO_REPLY = 'NoReply';

/** A call that qubesd answered with an exception, or with an empty reply. */
export class AdminApiError extends FailedError {
  /** The exception's type as Qubes names it (`QubesVMNotFoundError`, …), or `NO_REPLY`. */
  readonly type: string;

  constructor(type: string, message: string) {
    super(message);
    this.type = type;
  }
}

/** Whether qubesd answered with an exception of this type. */
export function isAdminApiError(error: unknown, type: string): error is AdminApiError {
  return error instanceof AdminApiError && error.type === type;
}

/**
 * The data of a reply, without its header.
 *
 * The form of a reply is that of qubes/api/__init__.py in qubes-core-admin: `0` NUL data, or
 * `2` NUL type NUL traceback NUL format NUL, then each argument of the format followed by NUL.
 *
 * @param request the call, for messages
 */
export function parseReply(reply: Buffer, request: string): Buffer {
  if (reply.length === 0) throw noReply(request);
  const header = reply.toString('latin1', 0, 2);
  if (header === '0\0') return reply.subarray(2);
  if (header !== '2\0') {
    throw new FailedError(`qubesd answered ${request} in a form that coffer does not know`);
  }
  const [type = '', , format = '', ...rest] = reply.toString('utf8', 2).split('\0');
  const words = formatLikePython(format, rest.slice(0, -1));
  const known = printable(type, 100);
  throw new AdminApiError(known, `qubesd refused ${request}: ${printableWords(words)} (${known})`);
}

function noReply(request: string): AdminApiError {
  return new AdminApiError(
    NO_REPLY,
    `qubesd gave no answer to ${request}: it refuses the call, has failed or is restarting; ` +
      `see "sudo journalctl -u qubesd" in dom0`,
  );
}

/**
 * Python's `format % arguments`, as far as qubesd's messages use it. A conversion without an argument
 * is left unchanged.
 */
export function formatLikePython(format: string, values: readonly string[]): string {
  const left = [...values];
  return format.replace(/%%|%[-#0 +]*\d*(?:\.\d+)?[sdirxf]/g, (conversion) => {
    if (conversion === '%%') return '%';
    const value = left.shift();
    if (value === undefined) return conversion;
    return conversion.endsWith('r') && !/^\d+$/.test(value) ? `'${value}'` : value;
  });
}
