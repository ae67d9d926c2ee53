import { isDeepStrictEqual } from 'node:util';
import { decodeFrame, encodeFrame } from '../../protocol/codec.ts';
import {
  BrowseConversation,
  type Conversation,
  FetchConversation,
  StoreConversation,
} from '../../protocol/conversation.ts';
import { frames } from '../../protocol/framing.ts';
import { PROTOCOL_VERSION } from '../../protocol/limits.ts';
import type { Message } from '../../protocol/messages.ts';
import { ProtocolError } from '../../protocol/protocol-error.ts';
import type { Target } from './target.ts';

const version = PROTOCOL_VERSION;
const bytes = Buffer.from('abc');

/** How dom0 begins each service, and what an honest VM then says. */
const TALKS: readonly (readonly [() => Conversation, readonly Message[], readonly Message[]])[] = [
  [
    () => new StoreConversation(() => 0),
    [{ kind: 'storeRequest', version, directory: 'backups', fileName: 'one' }],
    [
      { kind: 'ready', version, path: '/home/user', freeBytes: 5, seekable: false },
      { kind: 'progress', bytes: 0 },
      { kind: 'stored', path: '/home/user/one', bytes: 0, sha256: Buffer.alloc(32) },
    ],
  ],
  [
    () => new FetchConversation(),
    [{ kind: 'fetchRequest', version, file: 'one' }],
    [
      { kind: 'ready', version, path: '/one', size: 6, seekable: true },
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
    () => new BrowseConversation(),
    [{ kind: 'browseRequest', version, directory: '.' }],
    [
      { kind: 'ready', version, path: '/', freeBytes: 1, size: undefined, seekable: false },
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
];

export const WIRE_TARGETS: readonly Target[] = [
  {
    name: 'frames-and-messages',
    sources: ['protocol/framing.ts', 'protocol/codec.ts', 'protocol/conversation.ts'],
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
      // What one of the services takes is accepted.
      if (refusals.length === TALKS.length) throw refusals[0];
    },
  },
];

/** Takes what a VM says, in chunks; what was understood must come back the same from our own codec. */
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
    if (heard.length === 1) goOn(conversation);
  }
}

/** What dom0 says when the VM is ready. */
function goOn(conversation: Conversation): void {
  if (conversation instanceof FetchConversation) {
    conversation.note('dom0', { kind: 'read', bytes: 7 });
  } else if (conversation instanceof StoreConversation) {
    conversation.note('dom0', { kind: 'data', offset: 0, bytes });
    conversation.note('dom0', { kind: 'end', bytes: bytes.length, sha256: Buffer.alloc(32) });
  }
}

export async function* chunks(input: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < input.length; at += length) {
    yield await Promise.resolve(input.subarray(at, at + length));
  }
}
