import { describe, expect, it } from 'vitest';
import { AssembleConversation } from '../../protocol/assemble-conversation.ts';
import { BrowseConversation, StoreConversation } from '../../protocol/conversation.ts';
import type { Conversation, Side } from '../../protocol/conversation.ts';
import { DeleteConversation } from '../../protocol/delete-conversation.ts';
import { FetchConversation } from '../../protocol/fetch-conversation.ts';
import {
  MOST_CREDIT,
  MOST_HANDLES,
  MOST_NAMES,
  MOST_REQUESTS,
  PROTOCOL_VERSION,
} from '../../protocol/limits.ts';
import type { Message, MessageKind } from '../../protocol/messages.ts';
import { ProtocolError } from '../../protocol/protocol-error.ts';

const version = PROTOCOL_VERSION;
const sha256 = Buffer.alloc(32);
const nothing = Buffer.alloc(0);

const ready = (): Message => ({
  kind: 'ready',
  version,
  path: '/x',
  freeBytes: undefined,
  largestFile: undefined,
});
const data = (offset: number, length: number): Message => ({
  kind: 'data',
  offset,
  bytes: Buffer.alloc(length),
});
const end = (bytes: number, hash = nothing): Message => ({ kind: 'end', bytes, sha256: hash });
const read = (bytes: number): Message => ({ kind: 'read', bytes });
const openFile = (handle = 0): Message => ({ kind: 'open', handle, fileName: 'x' });
const opened = (size: number): Message => ({ kind: 'opened', size });
const want = (offset: number, length: number, handle = 0): Message => ({
  ...{ kind: 'want', handle, offset, length },
});
const lacks: Message = { kind: 'lacks', code: 'IO', message: '' };
const progress = (bytes: number): Message => ({ kind: 'progress', bytes });
const stored: Message = { kind: 'stored', path: '/x', bytes: 0, sha256 };
const failure: Message = { kind: 'failure', code: 'IO', message: '', signal: '', stderrTail: '' };
const storeRequest: Message = { kind: 'storeRequest', version, command: 'cat', fileName: '' };
const fetchRequest: Message = { kind: 'fetchRequest', version, command: 'cat' };
const filesRequest: Message = { kind: 'fetchRequest', version, directory: 'x' };
const browseRequest: Message = { kind: 'browseRequest', version, directory: 'x' };
const deleteRequest = (names: number): Message => ({
  kind: 'deleteRequest',
  version,
  directory: 'x',
  fileNames: Array.from({ length: names }, (_, i) => `n${i}`),
});
const assembleRequest: Message = {
  kind: 'assembleRequest',
  version,
  directory: 'x',
  fileName: 'n',
};
const copy = (length: number): Message => ({ kind: 'copy', fileName: 'n', offset: 0, length });
const outcome: Message = { kind: 'outcome', result: 'DELETED', message: '' };
const entries = (number: number, last: boolean, truncated = false): Message => ({
  kind: 'entries',
  entries: Array.from({ length: number }, () => ({ name: 'x', kind: 'FILE', size: 0 })),
  last,
  truncated,
});

/** A message of every kind. */
const samples: Record<MessageKind, Message> = {
  storeRequest,
  fetchRequest,
  browseRequest,
  ready: ready(),
  data: data(0, 1),
  end: end(0, sha256),
  progress: progress(0),
  stored,
  read: read(1),
  open: openFile(),
  opened: opened(10),
  want: want(0, 1),
  lacks,
  entries: entries(0, true),
  failure,
  deleteRequest: deleteRequest(1),
  assembleRequest,
  copy: copy(1),
  outcome,
};

type Line = readonly [Side, Message];

function say(conversation: Conversation, lines: readonly Line[]): void {
  for (const [side, message] of lines) conversation.note(side, message);
}

/** The messages that are legal after these lines. */
function legalAfter(make: () => Conversation, lines: readonly Line[]): string[] {
  const sides = ['dom0', 'vm'] as const;
  return sides.flatMap((side) =>
    Object.values(samples)
      .filter((message) => {
        const conversation = make();
        say(conversation, lines);
        try {
          conversation.note(side, message);
          return true;
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
          return false;
        }
      })
      .map((message) => `${side} ${message.kind}`),
  );
}

const failures = ['dom0 failure', 'vm failure'];
const sorted = (turns: readonly string[]) => [...turns].sort();

describe('the order of Store', () => {
  const make = () => new StoreConversation();
  const asked: Line[] = [['dom0', storeRequest]];
  const open: Line[] = [...asked, ['vm', ready()]];
  const ended: Line[] = [...open, ['dom0', end(0, sha256)]];
  it.each<[string, Line[], string[]]>([
    ['the start', [], ['dom0 storeRequest', ...failures]],
    ['the request', asked, ['vm ready', ...failures]],
    ['Ready', open, ['dom0 data', 'dom0 end', 'vm progress', ...failures]],
    ['End', ended, ['vm progress', 'vm stored', ...failures]],
    ['Stored', [...ended, ['vm', stored]], []],
    ['a Failure', [...open, ['vm', failure]], []],
  ])('only allows the messages after %s that docs/protocol.md allows', (_when, lines, legal) => {
    expect(sorted(legalAfter(make, lines))).toEqual(sorted(legal));
  });

  it.each<[string, Line[], string]>([
    ['another version', [...asked, ['vm', { ...ready(), version: 2 } as Message]], 'version 2'],
    ['Data out of sequence', [...open, ['dom0', data(1, 1)]], 'sequence'],
    ['an End without SHA-256', [...open, ['dom0', end(0)]], 'SHA-256'],
    ['Progress ahead of the data', [...open, ['dom0', data(0, 5)], ['vm', progress(6)]], 'ahead'],
    [
      'Progress that goes backwards',
      [...open, ['dom0', data(0, 5)], ['vm', progress(4)], ['vm', progress(3)]],
      'backwards',
    ],
  ])('refuses %s', (_what, lines, message) => {
    expect(() => say(make(), lines)).toThrow(message);
  });

  it('refuses a flood of Progress, but not the usual rate', () => {
    let now = 0;
    const slow = new StoreConversation(() => now);
    say(slow, open);
    for (; now < 1_000_000; now += 1_000) slow.note('vm', progress(0));
    const fast = new StoreConversation(() => 0);
    say(fast, open);
    expect(() => {
      for (let i = 0; i < 1_000; i++) fast.note('vm', progress(0));
    }).toThrow('flood');
  });
});

describe('the order of Fetch of a command', () => {
  const make = () => new FetchConversation();
  const asked: Line[] = [['dom0', fetchRequest]];
  const open: Line[] = [...asked, ['vm', ready()]];
  it.each<[string, Line[], string[]]>([
    ['the start', [], ['dom0 fetchRequest', ...failures]],
    ['the request', asked, ['vm ready', ...failures]],
    ['Ready', open, ['dom0 read', ...failures]],
    ['Read', [...open, ['dom0', read(5)]], ['dom0 read', 'vm data', 'vm end', ...failures]],
    ['a Failure', [...open, ['dom0', failure]], []],
  ])('only allows the messages after %s that docs/protocol.md allows', (_when, lines, legal) => {
    expect(sorted(legalAfter(make, lines))).toEqual(sorted(legal));
  });

  it.each<[string, Line[], string]>([
    ['Data that was not asked for', [...open, ['vm', data(0, 1)]], 'asked'],
    ['more Data than was asked for', [...open, ['dom0', read(3)], ['vm', data(0, 4)]], 'asked'],
    ['Data at another offset', [...open, ['dom0', read(3)], ['vm', data(1, 1)]], 'sequence'],
    ['an End that was not asked for', [...open, ['vm', end(0)]], 'asked'],
    ['an End at another offset', [...open, ['dom0', read(30)], ['vm', end(7)]], 'where'],
    ['a Read of nothing', [...open, ['dom0', read(0)]], 'credit'],
    ['too much credit', [...open, ['dom0', read(MOST_CREDIT + 1)]], 'credit'],
  ])('refuses %s', (_what, lines, message) => {
    expect(() => say(make(), lines)).toThrow(message);
  });

  it('counts credit, and accepts a Read that crosses the End', () => {
    const conversation = make();
    say(conversation, [...open, ['dom0', read(4)], ['vm', data(0, 3)]]);
    const { stream } = conversation;
    expect([stream.credit, stream.position]).toEqual([1, 3]);
    say(conversation, [
      ['vm', end(3)],
      ['dom0', read(4)],
    ]);
    expect([stream.credit, stream.position]).toEqual([0, 3]);
  });
});

describe('the order of Fetch of files', () => {
  const make = () => new FetchConversation();
  const asked: Line[] = [['dom0', filesRequest]];
  const begun: Line[] = [...asked, ['vm', ready()]];
  const opening: Line[] = [...begun, ['dom0', openFile()]];
  const open: Line[] = [...opening, ['vm', opened(10)]];
  const wanted: Line[] = [...open, ['dom0', want(0, 4)]];
  const more = ['dom0 open', 'dom0 want', ...failures];
  it.each<[string, Line[], string[]]>([
    ['the request', asked, ['vm ready', ...failures]],
    ['Ready', begun, ['dom0 open', ...failures]],
    ['Open', opening, ['vm opened', 'vm lacks', ...failures]],
    ['Opened', open, more],
    ['Lacks', [...opening, ['vm', lacks]], ['dom0 open', ...failures]],
    ['Want', wanted, ['vm data', 'vm lacks', ...more]],
    ['some of the Data', [...wanted, ['vm', data(0, 3)]], ['vm lacks', ...more]],
    ['all of the Data', [...wanted, ['vm', data(0, 4)]], more],
    ['Lacks of the rest', [...wanted, ['vm', data(0, 3)], ['vm', lacks]], more],
    ['another Open', [...wanted, ['dom0', openFile(1)]], ['vm data', 'vm lacks', ...more]],
  ])('only allows the messages after %s that docs/protocol.md allows', (_when, lines, legal) => {
    expect(sorted(legalAfter(make, lines))).toEqual(sorted(legal));
  });

  it.each<[string, Line[], string]>([
    ['a handle beyond the last', [...begun, ['dom0', openFile(MOST_HANDLES)]], 'handle'],
    [
      'an Open of a handle that is being opened',
      [...opening, ['dom0', openFile()]],
      'being opened',
    ],
    ['a Want of an unknown handle', [...open, ['dom0', want(0, 1, 1)]], 'not open'],
    [
      'a Want of a handle that is being opened again',
      [...wanted, ['dom0', openFile()], ['dom0', want(0, 1)]],
      'not open',
    ],
    [
      'a Want of a file that is lacking',
      [...opening, ['vm', lacks], ['dom0', want(0, 1)]],
      'not open',
    ],
    ['a Want of nothing', [...open, ['dom0', want(0, 0)]], 'nothing'],
    ['a Want beyond the end', [...open, ['dom0', want(8, 3)]], 'beyond'],
    ['Data at another offset', [...wanted, ['vm', data(1, 1)]], 'sequence'],
    ['more Data than is wanted', [...wanted, ['vm', data(0, 5)]], 'more Data'],
    ['Opened in place of Data', [...wanted, ['dom0', openFile(1)], ['vm', opened(1)]], 'Opened'],
    ['a Read', [...open, ['dom0', read(1)]], 'out of turn'],
    ['an End', [...open, ['vm', end(0)]], 'out of turn'],
  ])('refuses %s', (_what, lines, message) => {
    expect(() => say(make(), lines)).toThrow(message);
  });

  it('limits the requests and bytes that are outstanding', () => {
    const large: Line[] = [...opening, ['vm', opened(2 * MOST_CREDIT)]];
    const one: Line = ['dom0', want(0, 1)];
    expect(() => say(make(), [...large, ...Array<Line>(MOST_REQUESTS).fill(one)])).not.toThrow();
    expect(() => say(make(), [...large, ...Array<Line>(MOST_REQUESTS + 1).fill(one)])).toThrow(
      'too much is asked for',
    );
    expect(() => say(make(), [...large, ['dom0', want(0, MOST_CREDIT)], one])).toThrow(
      'too much is wanted',
    );
  });

  it('compares each answer with the first request that is not answered', () => {
    const conversation = make();
    say(conversation, [
      ...[...open, ['dom0', openFile(1)], ['dom0', want(6, 4)]],
      ...[
        ['vm', opened(3)],
        ['dom0', want(0, 3, 1)],
        ['vm', data(6, 4)],
        ['vm', data(0, 3)],
      ],
    ] as Line[]);
    expect([conversation.files.requests, conversation.files.bytes]).toEqual([0, 0]);
  });
});

describe('the order of Browse', () => {
  const make = () => new BrowseConversation();
  const asked: Line[] = [['dom0', browseRequest]];
  const open: Line[] = [...asked, ['vm', ready()]];
  it.each<[string, Line[], string[]]>([
    ['the start', [], ['dom0 browseRequest', ...failures]],
    ['the request', asked, ['vm ready', ...failures]],
    ['Ready', open, ['vm entries', ...failures]],
    ['the last Entries', [...open, ['vm', entries(1, true)]], []],
  ])('only allows the messages after %s that docs/protocol.md allows', (_when, lines, legal) => {
    expect(sorted(legalAfter(make, lines))).toEqual(sorted(legal));
  });

  it.each<[string, Line[], string]>([
    [
      'too many entries',
      [...open, ['vm', entries(9_999, false)], ['vm', entries(2, true)]],
      'many',
    ],
    ['endless empty Entries', [...open, ['vm', entries(0, false)]], 'without'],
    ['a cut before the last', [...open, ['vm', entries(1, false, true)]], 'cut'],
  ])('refuses %s', (_what, lines, message) => {
    expect(() => say(make(), lines)).toThrow(message);
  });
});

describe('the order of Delete', () => {
  const make = () => new DeleteConversation();
  const asked: Line[] = [['dom0', deleteRequest(2)]];
  const open: Line[] = [...asked, ['vm', ready()]];
  it.each<[string, Line[], string[]]>([
    ['the start', [], ['dom0 deleteRequest', ...failures]],
    ['the request', asked, ['vm ready', ...failures]],
    ['Ready', open, ['vm outcome', ...failures]],
    ['an Outcome', [...open, ['vm', outcome]], ['vm outcome', ...failures]],
    ['the last Outcome', [...open, ['vm', outcome], ['vm', outcome]], []],
    [
      'Ready, where no name was given',
      [
        ['dom0', deleteRequest(0)],
        ['vm', ready()],
      ],
      [],
    ],
  ])('only allows the messages after %s that docs/protocol.md allows', (_when, lines, legal) => {
    expect(sorted(legalAfter(make, lines))).toEqual(sorted(legal));
  });

  it('refuses too many names, and another version', () => {
    expect(() => say(make(), [['dom0', deleteRequest(MOST_NAMES + 1)]])).toThrow('many');
    const foreign = { ...ready(), version: 2 } as Message;
    expect(() => say(make(), [...asked, ['vm', foreign]])).toThrow('version 2');
  });
});

describe('the order of Assemble', () => {
  const make = () => new AssembleConversation();
  const asked: Line[] = [['dom0', assembleRequest]];
  const open: Line[] = [...asked, ['vm', ready()]];
  const ended: Line[] = [...open, ['dom0', end(0, sha256)]];
  it.each<[string, Line[], string[]]>([
    ['the start', [], ['dom0 assembleRequest', ...failures]],
    ['the request', asked, ['vm ready', ...failures]],
    ['Ready', open, ['dom0 data', 'dom0 copy', 'dom0 end', 'vm progress', ...failures]],
    ['End', ended, ['vm progress', 'vm stored', ...failures]],
    ['Stored', [...ended, ['vm', stored]], []],
  ])('only allows the messages after %s that docs/protocol.md allows', (_when, lines, legal) => {
    expect(sorted(legalAfter(make, lines))).toEqual(sorted(legal));
  });

  it('counts copied bytes like Data', () => {
    const conversation = make();
    say(conversation, [
      ...open,
      ['dom0', data(0, 5)],
      ['dom0', copy(7)],
      ['dom0', data(12, 1)],
      ['vm', progress(13)],
    ]);
    expect(conversation.safe).toBe(13);
  });

  it.each<[string, Line[], string]>([
    ['a Copy of nothing', [...open, ['dom0', copy(0)]], 'nothing'],
    ['Data that ignores a Copy', [...open, ['dom0', copy(7)], ['dom0', data(0, 1)]], 'sequence'],
    ['Progress ahead of a Copy', [...open, ['dom0', copy(7)], ['vm', progress(8)]], 'ahead'],
    [
      'a total length beyond 2^53',
      [...open, ['dom0', copy(Number.MAX_SAFE_INTEGER)], ['dom0', copy(1)]],
      'too long',
    ],
  ])('refuses %s', (_what, lines, message) => {
    expect(() => say(make(), lines)).toThrow(message);
  });
});
