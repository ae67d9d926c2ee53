import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { ExitStatus } from '../../shared/errors.ts';
import { cleanUpAfterFile } from '../clean-up-after-file.ts';
import { type Bout, expectTameOutput, runCoffer } from './arena.ts';
import { assemble, graft, otherDigit } from './splices.ts';
import { DAYS, type TwoDays, imageOf, twoDays } from './two-days.ts';

/** What a storage can show instead of a directory with two backups of a series, against the built program. */
const cleanUp = cleanUpAfterFile();

let days: TwoDays;
let first: Buffer;
let second: Buffer;
beforeAll(async () => {
  days = await twoDays(cleanUp);
  [first, second] = [await assemble(days.chain.first), await assemble(days.chain.second)];
});

const { done, damaged, refused } = ExitStatus;
const [ONE, TWO] = ['qubes-backup-2026-01-01T120000', 'qubes-backup-2026-01-02T120000'];
type Shown = Readonly<Record<string, Buffer>>;

/**
 * What the directory shows; the exit statuses of restoring the newest backup, that of the first and that of the second day;
 * the day of the newest backup, if it can be restored.
 */
const LIES: readonly (readonly [
  string,
  () => Shown | Promise<Shown>,
  readonly [number, number, number],
  0 | 1 | undefined,
])[] = [
  ['both files', () => ({ [ONE]: first, [TWO]: second }), [done, done, done], 1],
  [
    'both with their names exchanged',
    () => ({ [ONE]: second, [TWO]: first }),
    [done, done, done],
    1,
  ],
  ['only the later one', () => ({ [TWO]: second }), [damaged, refused, damaged], undefined],
  ['only the earlier one', () => ({ [ONE]: first }), [done, done, refused], 0],
  [
    'the earlier one in the place of the later',
    () => ({ [ONE]: first, [TWO]: first }),
    [done, done, refused],
    0,
  ],
  [
    'the later one in the place of the earlier',
    () => ({ [ONE]: second, [TWO]: second }),
    [damaged, refused, damaged],
    undefined,
  ],
  [
    'the earlier one truncated',
    () => ({ [ONE]: first.subarray(0, first.length >> 1), [TWO]: second }),
    [damaged, refused, damaged],
    undefined,
  ],
  [
    'the later one truncated',
    () => ({ [ONE]: first, [TWO]: second.subarray(0, second.length >> 1) }),
    [done, done, refused],
    0,
  ],
  [
    'the later one with another salt',
    async () => ({
      [ONE]: first,
      [TWO]: await assemble(otherDigit(days.chain.second, 'kdf-salt')),
    }),
    [done, done, refused],
    0,
  ],
  [
    'the later one with the manifest of the earlier',
    async () => ({
      [ONE]: first,
      [TWO]: await assemble(graft(days.chain.second, days.chain.first, 'manifest')),
    }),
    [done, done, refused],
    0,
  ],
  [
    'a newer file of random bytes',
    () => ({ [ONE]: first, [TWO]: second, 'qubes-backup-2031-01-01T120000': randomBytes(100_000) }),
    [done, done, done],
    1,
  ],
  ['nothing', () => ({}), [refused, refused, refused], undefined],
];

async function run([command = '', ...args]: readonly string[]): Promise<Bout> {
  const { fresh } = days;
  const bout = await runCoffer(fresh, [command, '-d', 'usb', ...fresh.secret, ...args], {
    TZ: 'UTC',
  });
  expectTameOutput(bout);
  return bout;
}

/** Restores two VMs; returns the status. Checks that restored volumes are of `day`, and that a failure leaves nothing. */
async function restored(location: string, day: number | undefined): Promise<number | null> {
  const { fresh, images } = days;
  const before = fresh.state;
  const { status, stderr } = await run([
    'restore',
    '-y',
    '--ignore-missing',
    location,
    'work',
    'vault',
  ]);
  if (status !== done) {
    expect(fresh.state, stderr).toBe(before);
    return status;
  }
  const system = await openFolderSystem(fresh.directory);
  for (const [name, image] of images[day ?? -1] ?? []) {
    expect(image.equals(readFileSync(imageOf(fresh, name))), name).toBe(true);
    await system.remove(name);
  }
  expect(day, stderr).toBeDefined();
  return status;
}

describe('a directory that shows', () => {
  it.each(LIES)('%s restores a day unchanged, or nothing', async (_, show, statuses, day) => {
    const { fresh } = days;
    for (const name of readdirSync(fresh.backups)) rmSync(join(fresh.backups, name));
    for (const [name, bytes] of Object.entries(await show())) {
      writeFileSync(join(fresh.backups, name), bytes);
    }
    expect((await run(['list', 'backups'])).status).toBe(done);
    expect([
      await restored('backups', day),
      await restored(`backups@${DAYS[0]}`, 0),
      await restored(`backups@${DAYS[1]}`, 1),
    ]).toEqual(statuses);
  });
});
