// First: it configures the library before the generated code uses it.
import protobuf from './protobuf.ts';
import { coffer } from './generated/coffer.js';
import { framePrefix } from './framing.ts';
import { LONGEST_DATA, LONGEST_NAME } from './limits.ts';
import type { Entry, Message, MessageKind, MessageOf } from './messages.ts';
import { ProtocolError } from './protocol-error.ts';

/** How protobufjs converts decoded messages to plain objects. */
const PLAIN = { enums: String, defaults: true, oneofs: true };

// The tags of the fields that Data is made of: number << 3 | wire type 2 (bytes) or 0 (varint).
const MESSAGE_DATA = (10 << 3) | 2;
const DATA_OFFSET = 1 << 3;
const DATA_BYTES = (2 << 3) | 2;

/**
 * A message as the pieces of its frame, including the length prefix. The bytes of Data are not copied: they are the
 * last piece, and must not change until they are written.
 */
export function encodeFrame(message: Message): Buffer[] {
  if (message.kind === 'data') return encodeData(message);
  const { kind, ...fields } = message;
  const bytes = coffer.Message.encode(coffer.Message.fromObject({ [kind]: fields })).finish();
  return [Buffer.concat([framePrefix(bytes.length), bytes])];
}

/** What protobufjs would write, but without copying the bytes. */
function encodeData({ offset, bytes }: MessageOf<'data'>): Buffer[] {
  if (bytes.length === 0 || bytes.length > LONGEST_DATA) {
    throw new RangeError(`Data cannot have ${bytes.length} bytes`);
  }
  const inner = protobuf.Writer.create();
  if (offset !== 0) inner.uint32(DATA_OFFSET).uint64(offset);
  const head = inner.uint32(DATA_BYTES).uint32(bytes.length).finish();
  const outer = protobuf.Writer.create()
    .uint32(MESSAGE_DATA)
    .uint32(head.length + bytes.length);
  const tag = outer.finish();
  const prefix = framePrefix(tag.length + head.length + bytes.length);
  return [Buffer.concat([prefix, tag, head]), bytes];
}

/**
 * The message of a frame, with each of its fields checked; the conversation checks the order of messages. Unknown
 * fields are ignored. Throws ProtocolError.
 */
export function decodeFrame(untrustedFrame: Buffer): Message {
  const { kind, ...untrusted } = parse(untrustedFrame);
  if (kind === undefined) throw new ProtocolError('a message is of no known kind');
  return checked({ kind, ...untrusted[kind] } as Message);
}

/** As protobufjs converts it: types are right, but numbers may be too large, and enum values unknown. */
function parse(
  untrustedFrame: Buffer,
): Partial<Record<MessageKind, object>> & { kind?: MessageKind } {
  try {
    return coffer.Message.toObject(coffer.Message.decode(untrustedFrame), PLAIN);
  } catch (error) {
    throw new ProtocolError('a message cannot be decoded', { cause: error });
  }
}

function checked(untrusted: Message): Message {
  requireSafeNumbers(untrusted);
  switch (untrusted.kind) {
    case 'storeRequest':
      if (untrusted.target === undefined) throw new ProtocolError('a StoreRequest has no target');
      return untrusted;
    case 'fetchRequest':
      if (untrusted.source === undefined) throw new ProtocolError('a FetchRequest has no source');
      return untrusted;
    case 'data':
      return { ...untrusted, bytes: payload(untrusted.bytes) };
    case 'end':
    case 'stored':
      return { ...untrusted, sha256: digest(untrusted.sha256) };
    case 'entries':
      return { ...untrusted, entries: untrusted.entries.map(checkedEntry) };
    case 'failure':
    case 'lacks':
      return { ...untrusted, code: nameIn(coffer.Failure.Code, untrusted.code) ?? 'UNSPECIFIED' };
    case 'outcome':
      return { ...untrusted, result: nameIn(coffer.Outcome.Result, untrusted.result) ?? 'FAILED' };
    case 'browseRequest':
    case 'deleteRequest':
    case 'assembleRequest':
    case 'copy':
    case 'ready':
    case 'progress':
    case 'read':
    case 'open':
    case 'opened':
    case 'want':
      return untrusted;
  }
}

function checkedEntry(untrusted: Entry): Entry {
  requireSafeNumbers(untrusted);
  const { name, kind, size } = untrusted;
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new ProtocolError('an entry has no proper name');
  }
  if (name.length > LONGEST_NAME) throw new ProtocolError('a name in a listing is too long');
  return { name, kind: nameIn(coffer.Entry.Kind, kind) ?? 'OTHER', size };
}

/** A 64-bit field can have values that a number cannot. */
function requireSafeNumbers(untrusted: object): void {
  for (const value of Object.values(untrusted)) {
    if (typeof value !== 'number') continue;
    if (!Number.isSafeInteger(value)) throw new ProtocolError('a number is too large');
  }
}

/** The name of an enum's value; undefined for an unknown value, which stays a number. */
function nameIn<Name extends string>(names: Record<Name, number>, untrusted: Name | number) {
  return typeof untrusted === 'string' && Object.hasOwn(names, untrusted) ? untrusted : undefined;
}

function payload(untrusted: Uint8Array): Buffer {
  const bytes = asBuffer(untrusted);
  if (bytes.length === 0) throw new ProtocolError('a Data message is empty');
  if (bytes.length > LONGEST_DATA) throw new ProtocolError('a Data message is too long');
  return bytes;
}

function digest(untrusted: Uint8Array): Buffer {
  const bytes = asBuffer(untrusted);
  if (bytes.length !== 0 && bytes.length !== 32) {
    throw new ProtocolError('a SHA-256 does not have 32 bytes');
  }
  return bytes;
}

/** The same memory as a Buffer. */
function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
