import { LONGEST_FRAME, PROTOCOL_VERSION } from '../../protocol/limits.ts';
import type { Message } from '../../protocol/messages.ts';
import type { Step } from './script.ts';
import { ESCAPES, field, framed, numberField, raw, ready, validFrame, varint } from './wire.ts';

const REQUEST: Message = { kind: 'browseRequest', version: PROTOCOL_VERSION, directory: '/' };
const FOREIGN = { ...ready(), version: 2 };

/** Messages that are invalid in every state of every service, and the error of coffer. */
export const GARBAGE: readonly (readonly [string, readonly Step[], RegExp])[] = [
  ['an empty frame', [{ say: raw([0]) }], /a message is empty/],
  ['a length that never ends', [{ say: raw(Buffer.alloc(100, 0xff)) }], /too many digits/],
  ['a length with a superfluous digit', [{ say: raw([0x81, 0x00]) }], /superfluous digits/],
  ['a length over the limit', [{ say: raw(varint(LONGEST_FRAME + 1)) }], /longer than is allowed/],
  [
    'half a frame, then the end',
    [{ say: raw([0x10, 0x0a, 0x02]) }, { end: 0 }],
    /in the middle of a message|closed the channel/,
  ],
  [
    'half a length, then the end',
    [{ say: raw([0x90]) }, { end: 0 }],
    /in the middle of a message|closed the channel/,
  ],
  ['noise in a frame', [{ say: framed(Buffer.alloc(300, 0xff)) }], /cannot be decoded/],
  [
    'text in place of a frame',
    [{ say: raw(`${ESCAPES} not the protocol\n`) }],
    /violated the protocol/,
  ],
  ['a message of an unknown kind', [{ say: framed(field(99, Buffer.from('x'))) }], /no known kind/],
  [
    'protobuf groups nested a million deep',
    [{ say: framed(Buffer.alloc(1_000_000, (15 << 3) | 3)) }],
    /cannot be decoded/,
  ],
  [
    'a field that is longer than its message',
    [{ say: framed([(6 << 3) | 2, 0x7f, 0x08, 0x01]) }],
    /cannot be decoded/,
  ],
  [
    'a number beyond 2^53',
    [{ say: framed(field(6, Buffer.concat([numberField(1, 1), numberField(4, 2n ** 64n - 1n)]))) }],
    /a number is too large|out of turn/,
  ],
  [
    'a message that only dom0 sends',
    [{ say: validFrame({ kind: 'read', bytes: 1 }) }],
    /read came out of turn/,
  ],
  ['another request', [{ say: validFrame(REQUEST) }], /browseRequest came out of turn/],
  [
    'a Ready of another version, or a second one',
    [{ say: validFrame(FOREIGN) }],
    /version 2 of the protocol|ready came out of turn/,
  ],
  [
    'Stored with half a SHA-256',
    [{ say: framed(field(8, Buffer.concat([numberField(2, 3), field(3, Buffer.alloc(16))]))) }],
    /does not have 32 bytes/,
  ],
  ['Data without bytes', [{ say: framed(field(10, numberField(1, 0))) }], /is empty/],
  ['an exit with status 0', [{ end: 0 }], /closed the channel.*ended with status 0/],
  ['an exit with status 7', [{ end: 7 }], /closed the channel.*ended with status 7/],
  ['an exit by a signal', [{ kill: 'SIGKILL' }], /closed the channel.*ended by SIGKILL/],
  [
    'a megabyte on standard error, then an exit',
    [{ grumble: raw(`${ESCAPES} `.repeat(40_000)) }, { end: 1 }],
    /closed the channel.*usb says: /,
  ],
];
