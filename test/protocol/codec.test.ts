import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { decodeFrame, encodeFrame } from '../../protocol/codec.ts';
import { framePrefix } from '../../protocol/framing.ts';
import { LONGEST_DATA } from '../../protocol/limits.ts';
import type { FailureCode, Message } from '../../protocol/messages.ts';
import { ProtocolError } from '../../protocol/protocol-error.ts';

/** protobufjs with reflection, directly from the .proto: a second implementation. */
const reference = protobuf
  .loadSync(new URL('../../protocol/coffer.proto', import.meta.url).pathname)
  .lookupType('coffer.Message');

const codes = Object.keys(reference.root.lookupEnum('coffer.Failure.Code').values) as FailureCode[];

const count = fc.maxSafeNat();
const maybeCount = fc.option(count, { nil: undefined });
const text = fc.string({ unit: 'grapheme', maxLength: 50 });
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes));
const bytes = fc.uint8Array({ minLength: 1, maxLength: 500 }).map((data) => Buffer.from(data));
const version = fc.integer({ min: 0, max: 0xffffffff });
const name = fc.stringMatching(/^[^/\0.]+$/);
const kind = <K extends string>(value: K) => fc.constant(value);

const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    kind: kind('storeRequest'),
    version,
    fileName: text,
    expectedBytes: maybeCount,
    target: kind('directory'),
    directory: text,
  }),
  fc.record({
    kind: kind('storeRequest'),
    version,
    fileName: text,
    expectedBytes: maybeCount,
    target: kind('command'),
    command: text,
  }),
  fc.record({ kind: kind('fetchRequest'), version, source: kind('directory'), directory: text }),
  fc.record({ kind: kind('fetchRequest'), version, source: kind('command'), command: text }),
  fc.record({ kind: kind('browseRequest'), version, directory: text }),
  fc.record({ kind: kind('browseRequest'), version, directory: text, through: text }),
  fc.record({
    ...{ kind: kind('fetchRequest'), version, source: kind('directory') },
    ...{ directory: text, through: text },
  }),
  fc.record({
    kind: kind('ready'),
    version,
    path: text,
    freeBytes: maybeCount,
    largestFile: maybeCount,
  }),
  fc.record({ kind: kind('data'), offset: count, bytes }),
  fc.record({ kind: kind('end'), bytes: count, sha256: digest }),
  fc.record({ kind: kind('progress'), bytes: count }),
  fc.record({ kind: kind('stored'), path: text, bytes: count, sha256: digest }),
  fc.record({ kind: kind('read'), bytes: count }),
  fc.record({ kind: kind('open'), handle: version, fileName: text }),
  fc.record({ kind: kind('opened'), size: count }),
  fc.record({ kind: kind('want'), handle: version, offset: count, length: count }),
  fc.record({ kind: kind('lacks'), code: fc.constantFrom(...codes), message: text }),
  fc.record({
    kind: kind('entries'),
    entries: fc.array(
      fc.record({
        name,
        kind: fc.constantFrom('FILE', 'DIRECTORY', 'OTHER'),
        size: count,
      }),
    ),
    last: fc.boolean(),
    truncated: fc.boolean(),
  }),
  fc.record({
    kind: kind('failure'),
    code: fc.constantFrom(...codes),
    message: text,
    exitStatus: fc.option(version, { nil: undefined }),
    signal: text,
    stderrTail: text,
  }),
  fc.record({
    kind: kind('deleteRequest'),
    version,
    directory: text,
    fileNames: fc.array(text),
  }),
  fc.record({
    kind: kind('outcome'),
    result: fc.constantFrom('FAILED', 'DELETED', 'ABSENT', 'NOT_A_BACKUP'),
    message: text,
  }),
  fc.record({
    kind: kind('assembleRequest'),
    version,
    directory: text,
    fileName: text,
    expectedBytes: maybeCount,
  }),
  fc.record({ kind: kind('copy'), fileName: text, offset: count, length: count }),
);

/** The content of a frame, whose length is checked. */
function contentOf(pieces: Buffer[]): Buffer {
  const frame = Buffer.concat(pieces);
  for (const digits of [1, 2, 3]) {
    const content = frame.subarray(digits);
    if (content.length === 0) continue;
    const prefix = framePrefix(content.length);
    if (prefix.equals(frame.subarray(0, digits))) return content;
  }
  throw new Error('the prefix does not fit');
}

describe('a message', () => {
  it('is decoded as it was encoded', () => {
    fc.assert(
      fc.property(message, (original) => {
        expect(decodeFrame(contentOf(encodeFrame(original)))).toEqual(original);
      }),
    );
  });

  it('with Data is encoded as protobufjs does it, although its beginning is written by hand', () => {
    fc.assert(
      fc.property(fc.oneof(fc.constant(0), count), bytes, (offset, data) => {
        const ours = contentOf(encodeFrame({ kind: 'data', offset, bytes: data }));
        const theirs = reference.encode({ data: { offset, bytes: data } }).finish();
        expect(ours.equals(theirs)).toBe(true);
      }),
    );
  });

  it('with Data is sent without copying it', () => {
    const data = Buffer.alloc(LONGEST_DATA, 1);
    const pieces = encodeFrame({ kind: 'data', offset: 0, bytes: data });
    expect(pieces.at(-1)).toBe(data);
    const decoded = decodeFrame(contentOf(pieces));
    expect(decoded.kind === 'data' && decoded.bytes.equals(data)).toBe(true);
  });

  it('may have unknown fields, which are ignored', () => {
    const unknown = Buffer.from([((99 << 3) & 0x7f) | 0x80, 99 >> 4, 7]);
    const content = contentOf(encodeFrame({ kind: 'progress', bytes: 5 }));
    expect(decodeFrame(Buffer.concat([unknown, content]))).toEqual({ kind: 'progress', bytes: 5 });
  });

  it('with an unknown kind, code or target, or several of them, is read as docs/protocol.md says', () => {
    const decode = (...wires: object[]) =>
      decodeFrame(Buffer.concat(wires.map((wire) => reference.encode(wire).finish())));
    expect(decode({ failure: { code: 99 } })).toMatchObject({ code: 'UNSPECIFIED' });
    expect(decode({ outcome: { result: 99 } })).toMatchObject({ result: 'FAILED' });
    expect(decode({ entries: { entries: [{ name: 'x', kind: 99 }] } })).toMatchObject({
      entries: [{ name: 'x', kind: 'OTHER' }],
    });
    expect(decode({ lacks: { code: 99 } })).toMatchObject({ code: 'UNSPECIFIED' });
    expect(decode({ read: { bytes: 1 } }, { opened: { size: 2 } })).toEqual({
      kind: 'opened',
      size: 2,
    });
    const source = decode({ fetchRequest: { command: 'x' } }, { fetchRequest: { directory: 'y' } });
    expect(source).toEqual({
      ...{ kind: 'fetchRequest', version: 0, source: 'directory', directory: 'y' },
    });
  });

  it.each([
    ['no known kind', {}],
    ['a number beyond 2^53', { progress: { bytes: '9007199254740993' } }],
    [
      'an entry with a size beyond 2^53',
      { entries: { entries: [{ name: 'x', size: '9007199254740993' }] } },
    ],
    ['a Copy with a length beyond 2^53', { copy: { fileName: 'x', length: '9007199254740993' } }],
    ['Data without bytes', { data: { offset: 1 } }],
    ['Data with too many bytes', { data: { bytes: new Uint8Array(LONGEST_DATA + 1) } }],
    ['a SHA-256 that is too short', { stored: { sha256: new Uint8Array(31) } }],
    ['a request without a target', { storeRequest: { version: 1, fileName: 'x' } }],
    ['a request without a source', { fetchRequest: { version: 1 } }],
    ['an entry without a name', { entries: { entries: [{ size: 1 }] } }],
    ['an entry that leads elsewhere', { entries: { entries: [{ name: '../x' }] } }],
    ['the entry ..', { entries: { entries: [{ name: '..' }] } }],
  ])('is refused if it has %s', (_what, wire) => {
    const content = reference.encode(reference.fromObject(wire)).finish();
    expect(() => decodeFrame(Buffer.from(content))).toThrow(ProtocolError);
  });

  it('is refused if it has the largest offset of 64 bits', () => {
    const want = Buffer.from([(13 << 3) | 2, 11, 2 << 3, ...Array<number>(9).fill(0xff), 1]);
    expect(() => decodeFrame(want)).toThrow('too large');
  });

  it('of any bytes is decoded or refused with a ProtocolError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (content) => {
        try {
          decodeFrame(Buffer.from(content));
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('is not encoded with empty Data or more than 1 MiB of it', () => {
    for (const length of [0, LONGEST_DATA + 1]) {
      const data = { kind: 'data', offset: 0, bytes: Buffer.alloc(length) } as const;
      expect(() => encodeFrame(data)).toThrow(RangeError);
    }
  });
});
