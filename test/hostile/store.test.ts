import { beforeAll, describe, expect, it } from 'vitest';
import { cleanUpAfterFile } from '../clean-up-after-file.ts';
import { Box } from '../cli/box.ts';
import { Arena, type Bout, NO_ENTRIES, expectNamedError, expectTameOutput } from './arena.ts';
import { GARBAGE } from './garbage.ts';
import type { Step } from './script.ts';
import { ESCAPES, failure, framed, raw, ready, validFrame } from './wire.ts';

/** A storage VM that is hostile while it receives a backup, against the built coffer. */
let arena: Arena;
let before: string;
const cleanUp = cleanUpAfterFile();

const fight = (...steps: Step[]): Promise<Bout> =>
  arena.fight({ Store: steps }, ['backup', 'backups']);

/** An honest beginning, up to the state in the name. */
const REQUESTED: Step[] = [{ hear: 'storeRequest' }];
const OPEN: Step[] = [...REQUESTED, { say: validFrame(ready()) }];
const TAKING: Step[] = [...OPEN, { take: 100_000 }];
const ENDED: Step[] = [...OPEN, { take: 'all' }];

/** coffer waits long for these agents, which do not exit: each has an arena of its own, while the other tests run. */
let closed: Promise<void>;
let dead: Promise<void>;
beforeAll(async () => {
  arena = await Arena.open(await Box.full(cleanUp));
  before = arena.box.state;
  closed = refusedElsewhere(/closed/, ...TAKING, { hangUp: true }, { take: 'all' });
  dead = refusedElsewhere(/does not exit/, ...ENDED, { confirm: {} }, { play: 'dead' });
});

async function refusedElsewhere(text: RegExp, ...Store: Step[]): Promise<void> {
  const other = await Arena.open(await Box.full(cleanUp));
  const state = other.box.state;
  const bout = await other.fight({ Store }, ['backup', 'backups']);
  expectNamedError(bout, 4, text);
  expect(other.box.state).toBe(state);
}

const ZERO = Buffer.alloc(32);
const progress = (bytes: number): Step => ({ say: validFrame({ kind: 'progress', bytes }) });

function expectRefused(bout: Bout, text: RegExp, status = 4): void {
  expectNamedError(bout, status, text);
  expect(arena.box.state).toBe(before);
}

it('the arena lets an honest backup succeed', async () => {
  const bout = await fight(...ENDED, progress(5), { confirm: {} }, { end: 0 });
  expect(bout.status, bout.stderr).toBe(0);
  expectTameOutput(bout);
  // Each VM has a new backup_timestamp.
  before = arena.box.state;
});

describe('a storage VM that receives a backup', () => {
  // every-state.test.ts tries all invalid messages in each state; these are tried for what the user sees.
  const states = [REQUESTED, OPEN, TAKING, ENDED];
  const some = GARBAGE.filter((_message, i) => i % 3 === 0);
  const rounds = some.map((message, i) => [...message, states[i % states.length] ?? []] as const);

  it.each(rounds)('is detected if it sends %s', async (_what, steps, text, beginning) => {
    expectRefused(await fight(...beginning, ...steps), text);
  });

  it('may fail with a megabyte of hostile text, which is made printable', async () => {
    const text = ESCAPES.repeat(14_000);
    expectRefused(await fight(...TAKING, { say: validFrame(failure('IO', text)) }), /\?\[2J/);
  });
});

describe('a storage VM that has received a request', () => {
  it.each(['NOT_FOUND', 'EXISTS', 'NO_SPACE', 'VERSION'] as const)(
    'may refuse it with the code %s',
    async (code) => {
      const bout = await fight(
        ...REQUESTED,
        { say: validFrame(failure(code, ESCAPES)) },
        { end: 1 },
      );
      expectRefused(bout, /backups|version/, 5);
    },
  );

  it.each<[string, Step]>([
    ['Progress', progress(0)],
    ['Stored', { say: validFrame({ kind: 'stored', path: '', bytes: 0, sha256: ZERO }) }],
    ['End', { say: validFrame({ kind: 'end', bytes: 0, sha256: ZERO }) }],
  ])('is detected if it answers with %s', async (_what, step) => {
    expectRefused(await fight(...REQUESTED, step), /came out of turn/);
  });

  it('cannot send control characters to the terminal in the path that it reports', async () => {
    const path = `/home/${ESCAPES.repeat(14_000)}`;
    const hostile = { say: validFrame(ready(path)) };
    const listing = [{ hear: 'browseRequest' }, hostile, NO_ENTRIES, { end: 0 }];
    const storing = [...REQUESTED, hostile, { end: 3 }];
    const bout = await arena.fight({ Browse: listing, Store: storing }, ['backup', 'backups']);
    expectRefused(bout, /closed the channel/);
    expect(bout.stdout).toContain('usb:/home/?[2J');
  });
});

describe('a storage VM that receives data', () => {
  it.each<[string, Step[], RegExp]>([
    ['more than was sent', [progress(2 ** 50)], /ahead of what was sent/],
    ['less than before', [progress(5), progress(4)], /went backwards/],
    ['in a flood', [{ ...progress(0), times: 20_000 }], /flood/],
  ])('is detected if its Progress says %s', async (_what, steps, text) => {
    expectRefused(await fight(...TAKING, ...steps), text);
  });

  it.each<[string, Step, RegExp]>([
    ['Stored before the end', { confirm: {} }, /stored came out of turn/],
    [
      'Data',
      { say: validFrame({ kind: 'data', offset: 0, bytes: ZERO }) },
      /data came out of turn/,
    ],
    [
      'Entries',
      { say: validFrame({ kind: 'entries', entries: [], last: true, truncated: false }) },
      /entries came out of turn/,
    ],
  ])('is detected if it sends %s', async (_what, step, text) => {
    expectRefused(await fight(...TAKING, step), text);
  });

  it('is detected if it closes its output and continues to read', async () => {
    await closed;
  });
});

describe('a storage VM that has received the whole backup', () => {
  it.each<[string, Step[], RegExp]>([
    ['another length', [{ confirm: { bytes: 1 } }, { end: 0 }], /something other/],
    ['another SHA-256', [{ confirm: { sha256: '00'.repeat(32) } }, { end: 0 }], /something other/],
    ['no SHA-256', [{ confirm: { sha256: '' } }, { end: 0 }], /something other/],
    ['success, and ends badly', [{ confirm: {} }, { end: 3 }], /ended with status 3/],
    ['success, and dies', [{ confirm: {} }, { kill: 'SIGKILL' }], /ended by SIGKILL/],
  ])('is not believed if it confirms %s', async (_what, steps, text) => {
    expectRefused(await fight(...ENDED, ...steps), text);
  });

  it('is not believed if it confirms success and does not exit', async () => {
    await dead;
  });

  it('may send anything after the confirmation', async () => {
    const noise = { say: raw(ESCAPES), times: 100 };
    const bout = await fight(...ENDED, { confirm: {} }, noise, { say: framed([1]) }, { end: 0 });
    expectTameOutput(bout);
    expect([0, 4]).toContain(bout.status);
    before = arena.box.state;
  });
});
