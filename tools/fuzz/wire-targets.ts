import { isDeepStrictEqual } from 'node:util';
import { AssembleConversation } from '../../protocol/assemble-conversation.ts';
import { decodeFrame, encodeFrame } from '../../protocol/codec.ts';
import {
  BrowseConversation,
  type Conversation,
  StoreConversation,
} from '../../protocol/conversation.ts';
import { DeleteConversation } from '../../protocol/delete-conversation.ts';
import { FetchConversation } from '../../protocol/fetch-conversation.ts';
import { frames } from '../../protocol/framing.ts';
import { PROTOCOL_VERSION } from '../../protocol/limits.ts';
import type { Message } from '../../protocol/messages.ts';
import { ProtocolError } from '../../protocol/protocol-error.ts';
import { parseListing } from '../../storage/listing-text.ts';
import { StorageFailure } from '../../storage/storage-failure.ts';
import type { Target } from './target.ts';

const version = PROTOCOL_VERSION;
const bytes = Buffer.from('abc');

/** For each service, its conversation, how dom0 begins it, and what an honest VM then sends. */
const TALKS: readonly (readonly [() => Conversation, readonly Message[], readonly Message[]])[] = [
  [
    () => new StoreConversation(() => 0),
    [{ kind: 'storeRequest', version, directory: 'backups', fileName: 'one' }],
    [
      { kind: 'ready', version, path: '/home/user', freeBytes: 5 },
      { kind: 'progress', bytes: 0 },
      { kind: 'stored', path: '/home/user/one', bytes: 0, sha256: Buffer.alloc(32) },
    ],
  ],
  [
    () => new FetchConversation(),
    [{ kind: 'fetchRequest', version, command: 'cat one' }],
    [
      { kind: 'ready', version, path: '' },
      { kind: 'data', offset: 0, bytes },
      { kind: 'data', offset: 3, bytes },
      { kind: 'end', bytes: 6, sha256: Buffer.alloc(0) },
      {
        kind: 'failure',
        code: 'IO',
        message: 'm',
        exitStatus: 1,
        signal: 'SIGTERM',
        stderrTail: 'w',
      },
    ],
  ],
  [
    () => new FetchConversation(),
    [{ kind: 'fetchRequest', version, directory: 'backups' }],
    [
      { kind: 'ready', version, path: '/backups' },
      { kind: 'opened', size: 6 },
      { kind: 'lacks', code: 'NOT_FOUND', message: 'm' },
      { kind: 'data', offset: 0, bytes },
      { kind: 'data', offset: 3, bytes },
      { kind: 'data', offset: 2, bytes: bytes.subarray(1) },
      { kind: 'lacks', code: 'IO', message: 'm' },
    ],
  ],
  [
    () => new BrowseConversation(),
    [{ kind: 'browseRequest', version, directory: '.' }],
    [
      { kind: 'ready', version, path: '/', freeBytes: 1 },
      {
        kind: 'entries',
        entries: [{ name: 'a', kind: 'FILE', size: 2 }],
        last: false,
        truncated: false,
      },
      {
        kind: 'entries',
        entries: [{ name: 'b', kind: 'OTHER', size: 0 }],
        last: true,
        truncated: true,
      },
    ],
  ],
  [
    () => new DeleteConversation(),
    [{ kind: 'deleteRequest', version, directory: '.', fileNames: ['a', 'b', 'c'] }],
    [
      { kind: 'ready', version, path: '/' },
      { kind: 'outcome', result: 'DELETED', message: '' },
      { kind: 'outcome', result: 'ABSENT', message: '' },
      { kind: 'outcome', result: 'NOT_A_BACKUP', message: 'it is a symbolic link' },
    ],
  ],
  [
    () => new AssembleConversation(() => 0),
    [{ kind: 'assembleRequest', version, directory: '.', fileName: 'pack', expectedBytes: 9 }],
    [
      { kind: 'ready', version, path: '/', freeBytes: 5 },
      { kind: 'progress', bytes: 2 },
      { kind: 'stored', path: '/pack', bytes: 3, sha256: Buffer.alloc(32) },
    ],
  ],
];

export const WIRE_TARGETS: readonly Target[] = [
  {
    name: 'frames-and-messages',
    sources: [
      ...['protocol/framing.ts', 'protocol/codec.ts'],
      ...['protocol/conversation.ts', 'protocol/fetch-conversation.ts'],
      ...['protocol/delete-conversation.ts', 'protocol/assemble-conversation.ts'],
    ],
    seeds: () => TALKS.map(([, , said]) => Buffer.concat(said.flatMap(encodeFrame))),
    words: [Buffer.of(0x80, 0x80, 0x01), Buffer.of(0xff, 0xff, 0xff, 0xff, 0x0f), Buffer.of(0x7b)],
    refusal: ProtocolError,
    run: async (input) => {
      const refusals: unknown[] = [];
      for (const [open, begun] of TALKS) {
        const conversation = open();
        for (const message of begun) conversation.note('dom0', message);
        await listen(conversation, input).catch((error: unknown) => {
          if (!(error instanceof ProtocolError)) throw error;
          refusals.push(error);
        });
      }
      // An input counts as accepted if at least one of the services accepts it.
      if (refusals.length === TALKS.length) throw refusals[0];
    },
  },
  {
    name: 'listing-of-a-command',
    sources: ['storage/listing-text.ts', 'shared/lines.ts'],
    seeds: () => [
      Buffer.from('5 qubes-backup-2026-01-02T030405\n120000 qubes-data-2026-01-02T030405-2\n'),
      Buffer.from('0 recover.sh\n77 a b\n1 -rf\n9 \u00e9\n'),
    ],
    words: ['999999999999999 ', '\n', ' ', '/', '..', '\0', Buffer.of(0xff, 0xc3), 'x'.repeat(300)],
    refusal: StorageFailure,
    run: async (input) => {
      const [whole, cut] = await Promise.all(
        [input.length + 1, 3].map((length) => list(input, length)),
      );
      if (!isDeepStrictEqual(whole, cut)) throw new Error('it depends on how it is cut');
    },
  },
];

/** Parses a listing. Throws unless dom0 accepts its entries, and files only have harmless names. */
async function list(input: Buffer, length: number): Promise<unknown> {
  const invalid = (what: string): Error => new StorageFailure('COMMAND_FAILED', what);
  const listing = await parseListing(chunks(input, length), invalid);
  for (const entry of listing.entries) {
    const message: Message = { kind: 'entries', entries: [entry], last: true, truncated: false };
    for await (const frame of frames(chunks(Buffer.concat(encodeFrame(message)), 99))) {
      if (!isDeepStrictEqual(decodeFrame(frame), message))
        throw new Error('dom0 takes no such entry');
    }
    if (entry.kind === 'FILE' && !/^[A-Za-z0-9][\w.-]*$/.test(entry.name)) {
      throw new Error('a file with a name that a shell may know');
    }
  }
  return listing;
}

/**
 * Receives what a VM sends, in chunks. Each decoded message must be the same after our codec encoded and decoded it.
 */
async function listen(conversation: Conversation, input: Buffer): Promise<void> {
  const heard: Message[] = [];
  for await (const frame of frames(chunks(input, 7))) {
    const message = decodeFrame(frame);
    const again = Buffer.concat(encodeFrame(message));
    for await (const copy of frames(chunks(again, again.length))) {
      if (!isDeepStrictEqual(decodeFrame(copy), message))
        throw new Error('it is not the same again');
    }
    heard.push(message);
    conversation.note('vm', message);
    replyTo(conversation, message);
  }
}

/** Sends what dom0 would send when the VM is ready, or has opened a file. */
function replyTo(conversation: Conversation, heard: Message): void {
  if (conversation instanceof FetchConversation) {
    if (heard.kind === 'opened' && heard.size >= 6) askForRanges(conversation);
    else if (heard.kind === 'ready') begin(conversation);
  } else if (heard.kind !== 'ready') {
    return;
  } else if (conversation instanceof StoreConversation) {
    conversation.note('dom0', { kind: 'data', offset: 0, bytes });
    conversation.note('dom0', { kind: 'end', bytes: bytes.length, sha256: Buffer.alloc(32) });
  }
}

/** Opens two files; for a command, which does not allow that, reads from it. */
function begin(conversation: FetchConversation): void {
  try {
    conversation.note('dom0', { kind: 'open', handle: 0, fileName: 'one' });
    conversation.note('dom0', { kind: 'open', handle: 1, fileName: 'two' });
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    conversation.note('dom0', { kind: 'read', bytes: 7 });
  }
}

/** Asks for ranges of the file that was opened first, which has the handle 0. */
function askForRanges(conversation: FetchConversation): void {
  conversation.note('dom0', { kind: 'want', handle: 0, offset: 0, length: 6 });
  conversation.note('dom0', { kind: 'want', handle: 0, offset: 2, length: 4 });
}

/** The input in chunks of `length` bytes. */
export async function* chunks(input: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < input.length; at += length) {
    yield await Promise.resolve(input.subarray(at, at + length));
  }
}
