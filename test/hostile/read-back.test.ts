import { beforeAll, describe, expect, it } from 'vitest';
import { cleanUpAfterFile } from '../clean-up-after-file.ts';
import { Box } from '../cli/box.ts';
import { Arena, type Bout, expectNamedError, expectTameOutput } from './arena.ts';
import { GARBAGE } from './garbage.ts';
import type { Step } from './script.ts';
import { ESCAPES, failure, opened, ready, validFrame } from './wire.ts';

/** A storage VM that is honest while it stores a backup, and hostile while the backup is read back. */
let arena: Arena;
const cleanUp = cleanUpAfterFile();
beforeAll(async () => {
  arena = await Arena.open(await Box.full(cleanUp));
});

const STORED: Step[] = [
  ...[{ hear: 'storeRequest' }, { say: validFrame(ready()) }],
  ...[{ take: 'all' as const }, { confirm: {} }, { end: 0 }],
];
const READY: Step[] = [{ hear: 'fetchRequest' }, { say: validFrame(ready()) }];
const LACKS = { ...failure('NOT_FOUND', ESCAPES), kind: 'lacks' } as const;

const fight = (...steps: Step[]): Promise<Bout> =>
  arena.fight({ Store: STORED, Fetch: steps }, ['backup', 'backups', 'work']);

describe('a storage VM from which a backup is read back', () => {
  it.each<[string, Step[]]>([
    ['does not have it', [{ say: validFrame(LACKS) }]],
    ['has a file of another length', [{ say: validFrame(opened(1000)) }]],
    ['has a file of 2^53 bytes', [{ say: validFrame(opened(2 ** 53 - 1)) }]],
  ])('is reported as returning something else if it says that it %s', async (_, steps) => {
    const before = arena.box.state;
    const bout = await fight(...READY, { hear: 'open' }, ...steps, { end: 0 });
    expectNamedError(bout, 3, /returns something other than what was stored/);
    expect(arena.box.state).toBe(before);
  });

  const states = [[], READY, [...READY, { hear: 'open' }]] as Step[][];
  const some = GARBAGE.filter((_, i) => i % 5 === 0);
  it.each([
    ...some.map(([what, steps], i) => [what, [...(states[i % 3] ?? []), ...steps]] as const),
    ['nothing, and ends', [{ end: 1 }] as Step[]] as const,
    ['hostile words', [...READY, { say: validFrame(failure('IO', ESCAPES)) }] as Step[]] as const,
  ])('cannot make the backup count as checked if it sends %s', async (_, steps) => {
    const bout = await fight(...steps);
    expect(bout.status, bout.stderr).toBe(4);
    expect(bout.stderr).toMatch(/could not be read back/);
    expect(bout.stdout).not.toMatch(/checked/);
    expectTameOutput(bout);
  });
});
