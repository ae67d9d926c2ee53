import { copyFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { cleanUpAfterFile } from '../clean-up-after-file.ts';
import { MiB } from '../../shared/sizes.ts';
import { Box } from '../cli/box.ts';
import { Arena, type Bout, expectNamedError, expectTameOutput } from './arena.ts';
import { GARBAGE } from './garbage.ts';
import type { Step } from './script.ts';
import { ESCAPES, failure, opened, ready, validFrame } from './wire.ts';

/** A storage VM that is hostile while it gives a backup, against the built coffer. */
let arena: Arena;
let backup: string;
let size: number;
let before: string;
const cleanUp = cleanUpAfterFile();
beforeAll(async () => {
  const full = await Box.full(cleanUp);
  backup = full.fileOf(full.backUp(['-x', 'debian']));
  ({ size } = statSync(backup));
  arena = await Arena.open(await Box.empty(cleanUp));
  before = arena.box.state;
});

const COMMANDS = ['list', 'verify', 'restore'] as const;

const fight = (command: string, ...steps: Step[]): Promise<Bout> =>
  arena.fight({ Fetch: steps }, [command, 'backups/one']);

const REQUESTED: Step[] = [{ hear: 'fetchRequest' }];
const READY: Step[] = [...REQUESTED, { say: validFrame(ready()) }];

/** Gives a backup as a file of the claimed size, or as a stream. */
const give = (command: string, claimed: number | undefined, ...steps: Step[]): Promise<Bout> =>
  claimed === undefined
    ? arena.fight({ Fetch: [...READY, ...steps] }, [command, '--command', 'cat backups/one'])
    : fight(command, ...READY, { hear: 'open' }, { say: validFrame(opened(claimed)) }, ...steps);

/** Serves the backup up to an offset, or without a limit. */
const serve = (upTo = Number.MAX_SAFE_INTEGER, file = backup): Step => ({ serve: file, upTo });

function expectRefused(bout: Bout, text: RegExp, status = 4): void {
  expectNamedError(bout, status, text);
  expect(arena.box.state).toBe(before);
}

it.each(COMMANDS)('the arena lets an honest %s succeed', async (command) => {
  for (const known of [size, undefined]) {
    const bout = await give(command, known, serve());
    expect(bout.status, bout.stderr).toBe(0);
    // A restore has changed the system, which must be unchanged in all other tests.
    expectTameOutput(bout);
    if (command === 'restore') await startAnew();
  }
});

async function startAnew(): Promise<void> {
  arena = await Arena.open(await Box.empty(cleanUp));
  before = arena.box.state;
}

describe('a storage VM that sends a backup', () => {
  // every-state.test.ts tries all invalid messages in each state; these are tried for what the user sees.
  const some = GARBAGE.filter((_message, i) => i % 3 === 1);
  const situations = [
    (...steps: Step[]) => fight('list', ...REQUESTED, ...steps),
    (...steps: Step[]) => give('verify', size, ...steps),
    (...steps: Step[]) => give('verify', size, serve(100_000), ...steps),
    (...steps: Step[]) => give('restore', undefined, serve(100_000), ...steps),
  ] as const;

  it.each(some)('is detected if it sends %s', async (what, steps, text) => {
    const round = some.findIndex(([each]) => each === what);
    const situation = situations[round % 4] ?? situations[0];
    expectRefused(await situation(...steps), text);
  });

  it('may refuse or fail with a megabyte of hostile text, which is made printable', async () => {
    const text = validFrame(failure('NOT_FOUND', ESCAPES.repeat(14_000)));
    expectRefused(await fight('list', ...REQUESTED, { say: text }), /backups\/one/, 5);
    const bout = await give('restore', size, serve(100_000), { say: text });
    expectRefused(bout, /backups\/one/);
  });

  it('may close the channel at any point, which leaves nothing of a VM', async () => {
    for (let part = 1; part <= 6; part++) {
      const steps = [serve(Math.floor((size * part) / 7)), { end: part % 2 }];
      expectRefused(await give('restore', undefined, ...steps), /closed the channel|in the middle/);
    }
  });

  it('is detected if it ends the stream at any point as if that were all', async () => {
    for (const part of [0.0001, 0.3, 0.6, 0.9, 0.9999]) {
      const cut = join(arena.usbHome, 'cut');
      writeFileSync(cut, readFileSync(backup).subarray(0, Math.floor(size * part)));
      for (const known of [true, false]) {
        const claimed = known ? statSync(cut).size : undefined;
        expectRefused(
          await give('restore', claimed, serve(undefined, cut)),
          /damaged|incomplete|not a backup|too early/,
          3,
        );
      }
    }
  });

  it.each<[string, number, readonly number[]]>([
    ['nothing', 0, [3]],
    ['one byte', 1, [3]],
    ['far too much', 2 ** 53 - 1, [3, 4]],
    ['two blocks less', -1024, [3, 4]],
    ['two blocks more', 1024, [3, 4]],
  ])('is detected if it says that the backup has %s', async (what, number, statuses) => {
    for (const command of ['verify', 'restore']) {
      const claimed = what.startsWith('two') ? size + number : number;
      const bout = await give(command, claimed, serve());
      expect(statuses, `${command}: ${bout.stderr}${bout.stdout}`).toContain(bout.status);
      expectRefused(bout, /./, bout.status ?? 0);
    }
  });

  it.each(['zeros', 'noise', 'escapes'])('is detected if it sends %s', async (what) => {
    const file = join(arena.usbHome, what);
    const content = what === 'zeros' ? Buffer.alloc(20_000_000) : Buffer.alloc(20_000_000, ESCAPES);
    if (what === 'noise')
      for (let i = 0; i < content.length; i += 4) content.writeInt32LE((i * i) | 0, i);
    writeFileSync(file, content);
    for (const command of COMMANDS) {
      expectRefused(await give(command, undefined, serve(undefined, file)), /backup/, 3);
    }
  });

  it('cannot fill the memory with an endless backup of a TiB', async () => {
    const endless = join(arena.usbHome, 'endless');
    copyFileSync(backup, endless);
    truncateSync(endless, size - 5_000);
    truncateSync(endless, 2 ** 40);
    for (const command of ['verify', 'restore']) {
      const bout = await give(command, 2 ** 40, serve(undefined, endless));
      expectRefused(bout, /there is no manifest at its end/, 3);
      expect(bout.memory).toBeLessThan(200 * MiB);
    }
  });

  it('cannot fill the memory with messages that are hardly anything but fields that coffer does not know', async () => {
    const zeros = join(arena.usbHome, 'few');
    writeFileSync(zeros, Buffer.alloc(60_000));
    const steps = { ...serve(undefined, zeros), few: 16, padding: 100_000 };
    expectRefused(await give('verify', undefined, steps), /backup/, 3);
  });

  it('cannot cause delay with a TiB of zeros after a complete backup', async () => {
    const padded = join(arena.usbHome, 'padded');
    copyFileSync(backup, padded);
    truncateSync(padded, 2 ** 40);
    for (const known of [2 ** 40, undefined]) {
      const bout = await give('verify', known, serve(undefined, padded));
      expect(bout.status, bout.stderr).toBe(0);
      expectTameOutput(bout);
    }
  });

  it('is detected if it changes a byte between the first and the second reading', async () => {
    // coffer reads the end of a file first, then the beginning, then the rest.
    const file = join(arena.usbHome, 'changed');
    const content = readFileSync(backup);
    const at = Math.floor(size / 2);
    content.writeUInt8(content.readUInt8(at) ^ 1, at);
    writeFileSync(file, content);
    const bout = await give('restore', size, serve(50_000), serve(undefined, file));
    expect([3, 4]).toContain(bout.status);
    expectRefused(bout, /./, bout.status ?? 0);
  });
});
