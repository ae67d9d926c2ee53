import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Box } from '../cli/box.ts';
import { expectNamedError, runCoffer } from './arena.ts';

/** A storage that gives a stream without end: the beginning of a backup that it keeps, then what it makes up. */
const PROGRAM = join(import.meta.dirname, 'endless.mjs');
const cleanUps: (() => Promise<void>)[] = [];
let box: Box;
let backup: string;
beforeAll(async () => {
  const full = await Box.full((cleanUp) => cleanUps.push(cleanUp));
  backup = join(full.directory, 'homes/usb', full.backUp(['-x', 'debian']));
  box = await Box.empty((cleanUp) => cleanUps.push(cleanUp));
});
afterAll(() => Promise.all(cleanUps.map((cleanUp) => cleanUp())));

describe('a stream in the format coffer-1 that has no end', () => {
  it.each([
    ['qubes.xml', 'files of nobody'],
    ['qubes.xml', 'parts of nobody'],
    ['qubes.xml', 'files of a VM'],
    ['qubes.xml', 'parts of a VM'],
    ['qubes.xml', 'more list of VMs'],
    ['vm', 'the same part'],
    ['qubes.xml', 'zeros'],
    ['manifest', 'files of nobody'],
    ['manifest', 'the same part'],
  ])('is refused soon, in little memory, behind %s: %s', async (behind, kind) => {
    const before = box.state;
    const command = `node ${PROGRAM} ${backup} ${behind} "${kind}"`;
    for (const [[name = '', ...flags], ...qubes] of [
      [['verify'], 'work'],
      [['restore', '-y'], 'vault'],
    ] as const) {
      const storage = ['-d', 'usb', ...box.secret, '--command', command];
      const bout = await runCoffer(box, [name, ...flags, ...storage, ...qubes]);
      expectNamedError(bout, 3, /backup/);
      expect(box.state).toBe(before);
    }
  });
});
