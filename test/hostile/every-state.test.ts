import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Service } from '../../protocol/conversation.ts';
import type { FetchSource } from '../../dom0-agent/transport/storage.ts';
import { MOST_CREDIT } from '../../protocol/limits.ts';
import type { Entry, Message } from '../../protocol/messages.ts';
import { buildAgent } from './arena.ts';
import { duel, expectDetected } from './duel.ts';
import { GARBAGE } from './garbage.ts';
import type { Step } from './script.ts';
import { ESCAPES, failure, field, framed, opened, ready, validFrame } from './wire.ts';

/** A file of 3 MB, which an agent gives as a backup. */
const FILE = join(tmpdir(), `coffer-hostile-${process.pid}`);
const SIZE = 3_000_000;

let agent: string;
beforeAll(async () => {
  agent = await buildAgent();
  writeFileSync(FILE, Buffer.alloc(SIZE, 'x'));
});

const say = (message: Parameters<typeof validFrame>[0]): Step => ({ say: validFrame(message) });
const entries = (some: Entry[], last: boolean, truncated = false): Step =>
  say({ kind: 'entries', entries: some, last, truncated });
const DELETED: Message = { kind: 'outcome', result: 'DELETED', message: '' };
const file = (name: string): Entry => ({ name, kind: 'FILE', size: 1 });

const READY: readonly Step[] = [{ hear: 'fetchRequest' }, say(ready())];
const COMMAND = { command: 'cat' };
/** A file that is reached through a command. */
const THROUGH = { file: 'backups/qubes-backup-2026-01-02T030405', through: 'lead' };

/** Honest behaviour up to each state of each service. */
const STATES: readonly (readonly [Service, string, readonly Step[]])[] = [
  ['Store', 'that has a request', [{ hear: 'storeRequest' }]],
  ['Store', 'that is ready', [{ hear: 'storeRequest' }, say(ready())]],
  ['Store', 'that takes data', [{ hear: 'storeRequest' }, say(ready()), { take: 1_000_000 }]],
  ['Store', 'that has it all', [{ hear: 'storeRequest' }, say(ready()), { take: 'all' }]],
  ['Fetch', 'that has a request', [{ hear: 'fetchRequest' }]],
  ['Fetch', 'that is ready', READY],
  ['Fetch', 'that has opened a file', [...READY, { hear: 'open' }, say(opened(SIZE))]],
  ['Fetch', 'that gives a file', [...READY, { serve: FILE, upTo: 1_000_000 }]],
  ['Browse', 'that has a request', [{ hear: 'browseRequest' }]],
  ['Browse', 'that is ready', [{ hear: 'browseRequest' }, say(ready())]],
  [
    'Browse',
    'that lists',
    [{ hear: 'browseRequest' }, say(ready()), entries([file('a'), file('b')], false)],
  ],
  ['Delete', 'that has a request', [{ hear: 'deleteRequest' }]],
  ['Delete', 'that is ready', [{ hear: 'deleteRequest' }, say(ready())]],
  ['Delete', 'that deletes', [{ hear: 'deleteRequest' }, say(ready()), say(DELETED)]],
  ['Assemble', 'that has a request', [{ hear: 'assembleRequest' }]],
  ['Assemble', 'that is ready', [{ hear: 'assembleRequest' }, say(ready())]],
  ['Assemble', 'that copies', [{ hear: 'assembleRequest' }, say(ready()), { hear: 'copy' }]],
];

/** Runs a few cases at a time, as starting an agent takes most of the time. */
async function all<T>(cases: readonly T[], one: (each: T) => Promise<void>): Promise<void> {
  const left = [...cases];
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) await one(next);
  };
  await Promise.all(Array.from({ length: 4 }, work));
}

interface Asked {
  readonly through?: string;
}

describe.each<readonly [Service, string, readonly Step[], (FetchSource & Asked) | undefined]>([
  ...STATES.map((state) => [...state, undefined] as const),
  ['Fetch', 'that gives a stream', [...READY, { serve: FILE, upTo: 1_000_000 }], COMMAND],
  ['Fetch', 'with a command that is ready', READY, THROUGH],
  [
    ...(['Fetch', 'with a command that has opened a file'] as const),
    ...([[...READY, { hear: 'open' }, say(opened(SIZE))], THROUGH] as const),
  ],
  [
    ...(['Fetch', 'with a command that gives a file'] as const),
    ...([[...READY, { serve: FILE, upTo: 1_000_000 }], THROUGH] as const),
  ],
  ['Browse', 'with a command that is ready', [{ hear: 'browseRequest' }, say(ready())], THROUGH],
  [
    'Store',
    'with a command that takes data',
    [{ hear: 'storeRequest' }, say(ready()), { take: 1_000_000 }],
    THROUGH,
  ],
  [
    'Delete',
    'with a command that deletes',
    [{ hear: 'deleteRequest' }, say(ready()), say(DELETED)],
    THROUGH,
  ],
])('%s: a VM %s', (service, _, beginning, source) => {
  it('is detected if it sends any of the invalid messages', async () => {
    await all(GARBAGE, async ([what, steps, text]) => {
      expectDetected(
        await duel(agent, service, [...beginning, ...steps], undefined, source),
        what,
        text,
      );
    });
  });

  it('is detected if it fails with a megabyte of hostile text, which is made printable and shortened', async () => {
    const say = validFrame(failure('IO', ESCAPES.repeat(14_000)));
    const outcome = await duel(agent, service, [...beginning, { say }], undefined, source);
    expectDetected(outcome, 'failure', /failed: \?\[2J/);
  });
});

it('Fetch: a VM that gives data of a stream out of order is detected', async () => {
  const bytes = Buffer.alloc(10);
  const asked: Step[] = [...READY, { hear: 'read' }];
  const end = (at: number): Step => say({ kind: 'end', bytes: at, sha256: Buffer.alloc(0) });
  await all<[string, Step[], RegExp]>(
    [
      ['data before Ready', [{ hear: 'fetchRequest' }, say(data(0, bytes))], /out of turn/],
      ['another offset', [...asked, say(data(1, bytes))], /not in sequence/],
      ['the same again', [...asked, say(data(0, bytes)), say(data(0, bytes))], /not in sequence/],
      [
        'more than the credit',
        [...asked, { ...say(data(0, Buffer.alloc(MOST_CREDIT >> 6))), times: 100 }],
        /not in sequence|more Data/,
      ],
      ['an end elsewhere', [...asked, say(data(0, bytes)), end(11)], /not where the Data ended/],
      ['data after the end', [...asked, end(0), say(data(0, bytes))], /^$/],
      ['an opened file', [...asked, say(opened(5))], /opened came out of turn/],
      ['that it lacks it', [...asked, say(lacks)], /lacks came out of turn/],
      ['Stored', [...asked, say(stored)], /stored came out of turn/],
      ['Progress', [...asked, say({ kind: 'progress', bytes: 0 })], /progress came out of turn/],
    ],
    async ([what, steps, text]) => {
      const outcome = await duel(agent, 'Fetch', steps, undefined, COMMAND);
      // After the end, nothing is read any more.
      if (what === 'data after the end') expect(outcome.error, what).toBeUndefined();
      else expectDetected(outcome, what, text);
    },
  );
});

it('Fetch: a VM that gives data of a file that was not asked for is detected', async () => {
  const bytes = Buffer.alloc(10);
  const asked = (size: number): Step[] => [
    ...[...READY, { hear: 'open' }, say(opened(size))],
    { hear: 'want' },
  ];
  await all<[string, Step[], RegExp]>(
    [
      ['data before the file is open', [...READY, say(data(0, bytes))], /Data without being asked/],
      ['the file twice', [...asked(100), say(opened(100))], /Opened without being asked/],
      ['another offset', [...asked(100), say(data(51, bytes))], /not in sequence/],
      ['the beginning', [...asked(100), say(data(0, bytes))], /not in sequence/],
      [
        'the same again',
        [...asked(100), say(data(50, bytes)), say(data(50, bytes))],
        /in sequence/,
      ],
      ['more than was wanted', [...asked(15), say(data(7, bytes))], /more Data than was asked/],
      [
        'more when all was given',
        [...asked(20), say(data(10, bytes)), say(data(20, bytes))],
        /Data without|not in sequence/,
      ],
      ['the end of a stream', [...asked(100), say(end)], /end came out of turn/],
      ['a file of 2^50 bytes', [...READY, { hear: 'open' }, say(opened(2 ** 50)), SOME], /no more/],
      ['Stored', [...asked(100), say(stored)], /stored came out of turn/],
      ['Progress', [...asked(100), say({ kind: 'progress', bytes: 0 })], /out of turn/],
    ],
    async ([what, steps, text]) => {
      expectDetected(await duel(agent, 'Fetch', steps), what, text);
    },
  );
});

it('Fetch: a VM that claims that a file is huge is detected, also through a command', async () => {
  for (const size of [2 ** 50, 2 ** 53 - 1]) {
    const steps = [...READY, { hear: 'open' }, say(opened(size)), SOME];
    expectDetected(await duel(agent, 'Fetch', steps, undefined, THROUGH), `${size}`, /no more/);
  }
});

it('Fetch: a VM that lacks a file, or the rest of it, may say so with hostile text, which is made printable', async () => {
  const lacking = say({ kind: 'lacks', code: 'NOT_FOUND', message: ESCAPES.repeat(14_000) });
  const never = await duel(agent, 'Fetch', [...READY, { hear: 'open' }, lacking]);
  expectDetected(never, 'never there', /backups\/one does not exist in usb/);
  const rest = [...READY, { serve: FILE, upTo: 1_000_000 }, say(lacks)];
  expectDetected(await duel(agent, 'Fetch', rest), 'the rest', /one in usb failed: \?\[2J/);
});

const SOME = { serve: FILE, upTo: 1_000_000 };
const lacks = { kind: 'lacks', code: 'IO', message: ESCAPES } as const;
const end = { kind: 'end', bytes: 0, sha256: Buffer.alloc(0) } as const;
const data = (offset: number, bytes: Buffer) => ({ kind: 'data', offset, bytes }) as const;
const stored = { kind: 'stored', path: '', bytes: 0, sha256: Buffer.alloc(32) } as const;

describe('Browse: a VM that lists', () => {
  const list = (...steps: Step[]) =>
    duel(agent, 'Browse', [{ hear: 'browseRequest' }, say(ready()), ...steps]);
  const badName = (name: Buffer): Step => ({
    say: framed(field(9, field(1, field(1, name)))),
  });

  it('too many entries, without an end or with invalid names is detected', async () => {
    const many = Array.from({ length: 5_000 }, (_, i) => file(`${i}`));
    await all<[string, Step[], RegExp]>(
      [
        [
          '10,001 entries',
          [entries(many, false), entries(many, false), entries([file('x')], true)],
          /too many entries/,
        ],
        ['nothing, and goes on', [entries([], false)], /without an entry/],
        ['truncated, and goes on', [entries([file('a')], false, true)], /cut before the last/],
        ['a name with a slash', [badName(Buffer.from('../../etc/passwd'))], /no proper name/],
        ['..', [badName(Buffer.from('..'))], /no proper name/],
        ['no name', [badName(Buffer.alloc(0))], /no proper name/],
        ['a zero byte', [badName(Buffer.from('a\0b'))], /no proper name/],
        ['a name of a megabyte', [badName(Buffer.alloc(1_000_000, 'n'))], /a name .* is too long/],
      ],
      async ([what, steps, text]) => expectDetected(await list(...steps), what, text),
    );
  });

  it('names with control characters does no harm: they are made printable', async () => {
    const { listing } = await list(entries([file(ESCAPES.replace('\0', ''))], true), { end: 0 });
    expect(listing?.entries.map(({ untrustedName }) => untrustedName)).toHaveLength(1);
    expect(listing?.path).not.toMatch(/\p{Cc}/u);
  });
});

describe('Delete: a VM that deletes', () => {
  const answer = (...steps: Step[]) =>
    duel(agent, 'Delete', [{ hear: 'deleteRequest' }, say(ready()), ...steps]);
  const gone = say(DELETED);

  it('is detected if it does not give exactly one outcome for each name', async () => {
    await all<[string, Step[], RegExp]>(
      [
        ['too few, and ends', [gone, gone, { end: 0 }], /closed the channel/],
        ['all, and ends badly', [gone, gone, gone, { end: 3 }], /ended with status 3/],
        ['Stored', [gone, say(stored)], /stored came out of turn/],
        ['a second Ready', [gone, say(ready())], /ready came out of turn/],
      ],
      async ([what, steps, text]) => expectDetected(await answer(...steps), what, text),
    );
  });

  it('may send more outcomes than names, which are not read', async () => {
    const { error } = await answer({ ...gone, times: 1_000 }, { end: 0 });
    expect(error).toBeUndefined();
  });

  it('cannot send control characters to the terminal in the reason of an outcome', async () => {
    const refused = { kind: 'outcome', result: 'FAILED', message: ESCAPES.repeat(14_000) } as const;
    const { deletions } = await answer(gone, gone, say(refused), { end: 0 });
    const reason = deletions?.at(-1)?.reason ?? '';
    expect(reason).toContain('?[2J');
    expect(reason).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(reason.length).toBeLessThan(1_500);
  });
});

it('Assemble: a VM that stored something else, or reports progress out of order, is detected', async () => {
  const open: Step[] = [{ hear: 'assembleRequest' }, say(ready())];
  const progress = (bytes: number): Step => say({ kind: 'progress', bytes });
  await all<[string, Step[], RegExp]>(
    [
      [
        'another length',
        [{ take: 'all' }, { confirm: { bytes: 1 } }, { end: 0 }],
        /something other/,
      ],
      ['Stored too early', [{ hear: 'copy' }, { confirm: {} }], /stored came out of turn/],
      ['Progress ahead', [progress(2 ** 40)], /ahead of what was sent/],
      ['Progress that falls', [{ hear: 'copy' }, progress(2), progress(1)], /backwards/],
    ],
    async ([what, steps, text]) => {
      expectDetected(await duel(agent, 'Assemble', [...open, ...steps]), what, text);
    },
  );
});
