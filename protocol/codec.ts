// First: it sets the library up before the generated code looks at it.
import protobuf from './protobuf.ts';
import { coffer } from './generated/coffer.js';
import { framePrefix } from './framing.ts';
import { LONGEST_DATA } from './limits.ts';
import type {
  Data,
  Entry,
  EntryKind,
  FailureCode,
  FetchSource,
  Message,
  StoreTarget,
} from './messages.ts';
import { ProtocolError } from './protocol-error.ts';

const ENTRY_KINDS = new Map<EntryKind, coffer.Entry.Kind>([
  ['other', coffer.Entry.Kind.OTHER],
  ['file', coffer.Entry.Kind.FILE],
  ['directory', coffer.Entry.Kind.DIRECTORY],
]);
const FAILURE_CODES = new Map<FailureCode, coffer.Failure.Code>([
  ['unspecified', coffer.Failure.Code.UNSPECIFIED],
  ['protocol', coffer.Failure.Code.PROTOCOL],
  ['version', coffer.Failure.Code.VERSION],
  ['bad-request', coffer.Failure.Code.BAD_REQUEST],
  ['not-found', coffer.Failure.Code.NOT_FOUND],
  ['not-a-directory', coffer.Failure.Code.NOT_A_DIRECTORY],
  ['not-a-file', coffer.Failure.Code.NOT_A_FILE],
  ['permission', coffer.Failure.Code.PERMISSION],
  ['exists', coffer.Failure.Code.EXISTS],
  ['no-space', coffer.Failure.Code.NO_SPACE],
  ['command-failed', coffer.Failure.Code.COMMAND_FAILED],
  ['io', coffer.Failure.Code.IO],
  ['corrupted', coffer.Failure.Code.CORRUPTED],
  ['cancelled', coffer.Failure.Code.CANCELLED],
  ['read-only', coffer.Failure.Code.READ_ONLY],
  ['too-large', coffer.Failure.Code.TOO_LARGE],
]);

// The tags of the fields that Data is made of: number << 3 | wire type 2 (bytes) or 0 (varint).
const MESSAGE_DATA = (10 << 3) | 2;
const DATA_OFFSET = 1 << 3;
const DATA_BYTES = (2 << 3) | 2;

/**
 * A message as the pieces of its frame, length prefix included. The bytes of Data are not copied:
 * they are the last piece, and must stay as they are until they are written.
 */
export function encodeFrame(message: Message): Buffer[] {
  if (message.kind === 'data') return encodeData(message);
  const bytes = Buffer.from(coffer.Message.encode(toWire(message)).finish());
  return [Buffer.concat([framePrefix(bytes.length), bytes])];
}

/** What protobufjs would write, but without copying the bytes. */
function encodeData({ offset, bytes }: Data): Buffer[] {
  if (bytes.length === 0 || bytes.length > LONGEST_DATA) {
    throw new RangeError(`Data cannot hold ${bytes.length} bytes`);
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

function toWire(message: Exclude<Message, Data>): coffer.Message.$Properties {
  switch (message.kind) {
    case 'storeRequest': {
      const { version, target, expectedBytes } = message;
      return { storeRequest: { version, ...target, expectedBytes: expectedBytes ?? null } };
    }
    case 'fetchRequest':
      return { fetchRequest: { version: message.version, ...message.source } };
    case 'ready':
      return {
        ready: { ...message, freeBytes: message.freeBytes ?? null, size: message.size ?? null },
      };
    case 'entries':
      return { entries: { ...message, entries: message.entries.map(entryToWire) } };
    case 'failure': {
      const code = FAILURE_CODES.get(message.code) ?? coffer.Failure.Code.UNSPECIFIED;
      return { failure: { ...message, code, exitStatus: message.exitStatus ?? null } };
    }
    case 'browseRequest':
      return { browseRequest: message };
    case 'end':
      return { end: message };
    case 'progress':
      return { progress: message };
    case 'stored':
      return { stored: message };
    case 'read':
      return { read: message };
    case 'seek':
      return { seek: message };
  }
}

function entryToWire({ name, kind, size }: Entry): coffer.Entry.$Properties {
  return { name, size, kind: ENTRY_KINDS.get(kind) ?? coffer.Entry.Kind.OTHER };
}

/**
 * The message of a frame, with every field checked by itself; whether the message has its turn is
 * the conversation's affair. Fields that are not known are passed over. Throws ProtocolError.
 */
export function decodeFrame(untrustedFrame: Buffer): Message {
  const untrusted = parse(untrustedFrame);
  if (untrusted.kind === undefined) throw new ProtocolError('a message is of no known kind');
  switch (untrusted.kind) {
    case 'storeRequest': {
      const request = present(untrusted.storeRequest);
      return {
        kind: 'storeRequest',
        version: request.version ?? 0,
        target: storeTarget(request),
        expectedBytes: optionalCount(request.expectedBytes),
      };
    }
    case 'fetchRequest': {
      const request = present(untrusted.fetchRequest);
      return { kind: 'fetchRequest', version: request.version ?? 0, source: fetchSource(request) };
    }
    case 'browseRequest': {
      const { version = 0, directory } = present(untrusted.browseRequest);
      return { kind: 'browseRequest', version: version ?? 0, directory: directory ?? '' };
    }
    case 'ready': {
      const ready = present(untrusted.ready);
      return {
        kind: 'ready',
        version: ready.version ?? 0,
        path: ready.path ?? '',
        freeBytes: optionalCount(ready.freeBytes),
        size: optionalCount(ready.size),
        seekable: ready.seekable ?? false,
      };
    }
    case 'data': {
      const data = present(untrusted.data);
      return { kind: 'data', offset: count(data.offset), bytes: payload(data.bytes) };
    }
    case 'end': {
      const end = present(untrusted.end);
      return { kind: 'end', bytes: count(end.bytes), sha256: digest(end.sha256) };
    }
    case 'progress':
      return { kind: 'progress', bytes: count(present(untrusted.progress).bytes) };
    case 'stored': {
      const { path, bytes, sha256 } = present(untrusted.stored);
      return { kind: 'stored', path: path ?? '', bytes: count(bytes), sha256: digest(sha256) };
    }
    case 'read':
      return { kind: 'read', bytes: count(present(untrusted.read).bytes) };
    case 'seek':
      return { kind: 'seek', offset: count(present(untrusted.seek).offset) };
    case 'entries': {
      const { entries, last, truncated } = present(untrusted.entries);
      return {
        kind: 'entries',
        entries: (entries ?? []).map(entryFromWire),
        last: last ?? false,
        truncated: truncated ?? false,
      };
    }
    case 'failure': {
      const failure = present(untrusted.failure);
      return {
        kind: 'failure',
        code: keyOf(FAILURE_CODES, failure.code) ?? 'unspecified',
        message: failure.message ?? '',
        exitStatus: failure.exitStatus ?? undefined,
        signal: failure.signal ?? '',
        lastWords: failure.lastWords ?? '',
      };
    }
  }
}

function parse(untrustedFrame: Buffer): coffer.Message {
  try {
    return coffer.Message.decode(untrustedFrame);
  } catch (error) {
    throw new ProtocolError('a message cannot be decoded', { cause: error });
  }
}

function storeTarget(request: coffer.StoreRequest.$Properties): StoreTarget {
  const { directory, command, fileName } = request;
  if (typeof directory === 'string') return { directory, fileName: fileName ?? '' };
  if (typeof command === 'string') return { command };
  throw new ProtocolError('a StoreRequest has no target');
}

function fetchSource({ file, command }: coffer.FetchRequest.$Properties): FetchSource {
  if (typeof file === 'string') return { file };
  if (typeof command === 'string') return { command };
  throw new ProtocolError('a FetchRequest has no source');
}

function entryFromWire(untrusted: coffer.Entry.$Properties): Entry {
  const name = untrusted.name ?? '';
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new ProtocolError('an entry has no proper name');
  }
  return { name, kind: keyOf(ENTRY_KINDS, untrusted.kind) ?? 'other', size: count(untrusted.size) };
}

/** The name of an enum's value; undefined for the default, and for one that is not known. */
function keyOf<K, V>(names: ReadonlyMap<K, V>, untrusted: V | null | undefined): K | undefined {
  return [...names].find(([, value]) => value === untrusted)?.[0];
}

/** A field that must be there because the oneof says so. */
function present<T>(untrusted: T | null | undefined): T {
  if (untrusted === null || untrusted === undefined) throw new ProtocolError('a message is empty');
  return untrusted;
}

/** A number of bytes, or an offset. A 64-bit field can hold more than a number can. */
function count(untrusted: number | null | undefined): number {
  const value = untrusted ?? 0;
  if (!Number.isSafeInteger(value) || value < 0) throw new ProtocolError('a number is too large');
  return value;
}

function optionalCount(untrusted: number | null | undefined): number | undefined {
  return untrusted === null || untrusted === undefined ? undefined : count(untrusted);
}

function payload(untrusted: Uint8Array | null | undefined): Buffer {
  const bytes = asBuffer(untrusted);
  if (bytes.length === 0) throw new ProtocolError('a Data message is empty');
  if (bytes.length > LONGEST_DATA) throw new ProtocolError('a Data message is too long');
  return bytes;
}

function digest(untrusted: Uint8Array | null | undefined): Buffer {
  const bytes = asBuffer(untrusted);
  if (bytes.length !== 0 && bytes.length !== 32) {
    throw new ProtocolError('a SHA-256 does not have 32 bytes');
  }
  return bytes;
}

/** The same memory as a Buffer. */
function asBuffer(bytes: Uint8Array | null | undefined): Buffer {
  if (bytes === null || bytes === undefined) return Buffer.alloc(0);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
