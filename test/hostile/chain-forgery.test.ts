import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openFolderSystem } from '../../dom0-agent/qubes/folder/folder-system.ts';
import { ExitStatus } from '../../shared/errors.ts';
import { cleanUpAfterFile } from '../clean-up-after-file.ts';
import type { Box } from '../cli/box.ts';
import { type Bout, expectTameOutput, runCoffer } from './arena.ts';
import { type Piece, assemble, belongsTo, graft, reword } from './splices.ts';
import { type Chain, imageOf, twoDays } from './two-days.ts';

/** What a storage without the key can do to the files of a series, against the built program. */
const cleanUp = cleanUpAfterFile();

let fresh: Box;
let chain: Chain;
let images: ReadonlyMap<string, Buffer>;

beforeAll(async () => {
  const made = await twoDays(cleanUp);
  ({ fresh, chain } = made);
  images = made.images[1] ?? new Map();
});

/** The pieces with one bit of a member changed. */
function flip(pieces: readonly Piece[], name: string): Piece[] {
  if (!pieces.some((piece) => piece.name === name)) throw new Error(`there is no ${name}`);
  return pieces.map((piece) => {
    if (piece.name !== name) return piece;
    const content = Buffer.from(piece.content);
    const at = content.length >> 1;
    content[at] = (content[at] ?? 0) ^ 1;
    return { ...piece, content };
  });
}

/** The paths of the maps of `work` and `vault`. */
function mapsOf(pieces: readonly Piece[]): [string, string] {
  const [work, vault] = pieces.flatMap(
    ({ name }) => /^(vm\d+\/private\.map)\.\d+$/.exec(name)?.[1] ?? [],
  );
  if (work === undefined || vault === undefined) throw new Error('there are not two maps');
  return [work, vault];
}

/** The content of two members, each in the place of the other. */
function exchange(pieces: readonly Piece[], one: string, other: string): Piece[] {
  const nameOf = (name: string): string => {
    if (belongsTo(one)({ name, content: Buffer.alloc(0) })) return name.replace(one, other);
    return belongsTo(other)({ name, content: Buffer.alloc(0) }) ? name.replace(other, one) : name;
  };
  const contents = new Map(pieces.map(({ name, content }) => [name, content]));
  return pieces.map((piece) => ({
    ...piece,
    content: contents.get(nameOf(piece.name)) ?? piece.content,
  }));
}

const idOf = (pieces: readonly Piece[]): string =>
  /^backup-id=(.*)$/m.exec(pieces[0]?.content.toString() ?? '')?.[1] ?? '';

/** How the chain is changed, and which VMs of the second day can no longer be restored. */
const LIES: readonly (readonly [string, (chain: Chain) => Chain, readonly string[]])[] = [
  ['nothing', (same) => same, []],
  [
    'a changed bit in a part of the earlier file that both days need',
    ({ first, second }) => ({ first: flip(first, lastData(first)), second }),
    ['vault'],
  ],
  [
    'a changed bit in a part of the later file',
    ({ first, second }) => ({ first, second: flip(second, 'data.000') }),
    ['work'],
  ],
  [
    'the first part of the earlier file in the place of that of the later one',
    ({ first, second }) => ({
      first,
      second: graft(
        second,
        [...first].filter(({ name }) => name.startsWith('data.000')),
        'data',
      ),
    }),
    ['work', 'vault'],
  ],
  [
    'an older map in the later file',
    ({ first, second }) => ({ first, second: graft(second, first, mapsOf(second)[0]) }),
    ['work'],
  ],
  [
    'the maps of two VMs exchanged',
    ({ first, second }) => ({
      first,
      second: exchange(second, ...mapsOf(second)),
    }),
    ['work', 'vault'],
  ],
  ...['parts', 'ids', 'manifest', 'qubes.xml'].map(
    (path) =>
      [
        `the older ${path} in the later file`,
        ({ first, second }: Chain) => ({ first, second: graft(second, first, path) }),
        ['work', 'vault'],
      ] as const,
  ),
  [
    'the table of the later file in the earlier one',
    ({ first, second }) => ({ first: graft(first, second, 'parts'), second }),
    ['work', 'vault'],
  ],
  [
    'the manifest of the later file in the earlier one',
    ({ first, second }) => ({ first: graft(first, second, 'manifest'), second }),
    ['work', 'vault'],
  ],
  [
    'the earlier file under the id of another',
    ({ first, second }) => ({
      first: reword(first, /^backup-id=.*$/m, `backup-id=${'0'.repeat(32)}`),
      second,
    }),
    ['work', 'vault'],
  ],
  [
    'the later file under the id of the earlier one',
    ({ first, second }) => ({
      first,
      second: reword(second, /^backup-id=.*$/m, `backup-id=${idOf(first)}`),
    }),
    ['work', 'vault'],
  ],
];

/** The last part of the earlier file belongs to the last VM. */
function lastData(pieces: readonly Piece[]): string {
  return pieces.findLast(({ name }) => /^data\.\d+$/.test(name))?.name ?? '';
}

const run = (where: Box, [command = '', ...args]: readonly string[]): Promise<Bout> =>
  runCoffer(where, [command, '-d', 'usb', ...where.secret, ...args], { TZ: 'UTC' });

describe('two files of a series that were changed without the key only restore what was backed up:', () => {
  it.each(LIES)('%s', async (what, lie, lost) => {
    const lied = lie(chain);
    writeFileSync(join(fresh.backups, 'one'), await assemble(lied.first));
    writeFileSync(join(fresh.backups, 'two'), await assemble(lied.second));
    const before = fresh.state;
    const all = await run(fresh, ['verify', 'backups/two']);
    expectTameOutput(all);
    expect(all.status, all.stderr).toBe(what === 'nothing' ? 0 : ExitStatus.damaged);
    if (lost.length > 0) {
      const restored = await run(fresh, ['restore', '-y', 'backups/two', ...lost]);
      expectTameOutput(restored);
      expect(restored.status, restored.stderr).toBe(ExitStatus.damaged);
      expect(fresh.state).toBe(before);
    }
    const whole = ['work', 'vault'].filter((name) => !lost.includes(name));
    if (whole.length === 0) return;
    const restored = await run(fresh, ['restore', '-y', 'backups/two', ...whole]);
    expectTameOutput(restored);
    expect(restored.status, restored.stderr).toBe(0);
    const system = await openFolderSystem(fresh.directory);
    for (const name of whole) {
      expect(images.get(name)?.equals(readFileSync(imageOf(fresh, name))), name).toBe(true);
      await system.remove(name);
    }
  });
});

describe('coffer verify --all', () => {
  it('names the damaged volumes of the VMs in every backup', async () => {
    writeFileSync(join(fresh.backups, 'one'), await assemble(flip(chain.first, 'data.001')));
    writeFileSync(join(fresh.backups, 'two'), await assemble(chain.second));
    const { status, stderr } = await run(fresh, ['verify', '--all', 'backups/two']);
    expect(status, stderr).toBe(ExitStatus.damaged);
    const told = stderr.replaceAll('\n', ' ');
    for (const name of ['one', 'two']) {
      expect(told).toContain(
        `${name}: vault: its private volume is damaged (a part that it needs is damaged)`,
      );
    }
    expect(told).not.toContain('work: its');
  });
});
