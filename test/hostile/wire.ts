import { encodeFrame } from '../../protocol/codec.ts';
import { framePrefix } from '../../protocol/framing.ts';
import { PROTOCOL_VERSION } from '../../protocol/limits.ts';
import type { Failure, FailureCode, Message, MessageOf } from '../../protocol/messages.ts';

/** The bytes of valid frames, and of others that no honest agent can send, all in base64. */

export function validFrame(message: Message): string {
  return Buffer.concat(encodeFrame(message)).toString('base64');
}

/** A frame around any bytes. */
export function framed(bytes: Buffer | number[]): string {
  const frame = Buffer.from(bytes);
  return Buffer.concat([framePrefix(frame.length), frame]).toString('base64');
}

export function raw(bytes: Buffer | number[] | string): string {
  return (typeof bytes === 'string' ? Buffer.from(bytes) : Buffer.from(bytes)).toString('base64');
}

/** A protobuf field with a length: the number of the field, and its content. */
export function field(number: number, content: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(content.length), content]);
}

/** A protobuf field with a number. */
export function numberField(number: number, value: number | bigint): Buffer {
  return Buffer.concat([varint(number << 3), varint(value)]);
}

export function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}

export function ready(path = '/home/user/backups/one'): MessageOf<'ready'> {
  return { kind: 'ready', version: PROTOCOL_VERSION, path };
}

export function opened(size: number): MessageOf<'opened'> {
  return { kind: 'opened', size };
}

export function failure(code: FailureCode, text = ''): Failure {
  return { kind: 'failure', code, message: text, signal: '', stderrTail: text };
}

/** Text with control characters for a terminal: colours, title, clear, a change of direction, a hidden line. */
export const ESCAPES = '\u001b[2J\u001b[31m\u001b]0;owned\u0007\u202egood\u0000\r\nfine\u009b1m';
