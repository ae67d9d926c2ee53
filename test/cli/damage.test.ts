import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { membersOf } from '../archive/official-archives.ts';
import { Box, type Run } from './box.ts';
import { lastEvent } from './events.ts';

interface Result {
  readonly ok: boolean;
  readonly exitStatus: number;
  readonly qubes: readonly { name: string; result: string; remarks: string[] }[];
}

/** How a backup is read: from its file, in which coffer can seek, or as a stream. */
type Way = (path: string) => string[];
const WAYS: [string, Way][] = [
  ['from a file', (path) => [path]],
  ['from a command', (path) => ['--command', `cat ${path}`]],
];

describe.each(['coffer-1', 'qubes-4'])('a damaged backup in the format %s', (format) => {
  let box: Box;
  let bytes: Buffer;
  let directories: Map<string, string>;

  const cleanups: (() => Promise<void>)[] = [];
  afterAll(async () => {
    for (const clean of cleanups) await clean();
  });
  beforeAll(async () => {
    box = await Box.full((clean) => void cleanups.push(clean), 'dom0');
    // Not compressed, and not encrypted where possible, so that the changed byte is one of the data.
    const open = format === 'coffer-1' ? ['--no-encrypt'] : [];
    const filter = ['--compress-filter', 'none'];
    const backup = box.backUp(['--format', format, ...open, ...filter]);
    bytes = readFileSync(box.fileOf(backup));
    const names = ['debian', 'work', 'vault'];
    // In coffer-1, small files come first, and not every VM has some.
    const pattern = format === 'coffer-1' ? /^(vm\d+)\/.*\.map\./ : /^(vm\d+)/;
    const found = membersOf(bytes).map(({ name }) => pattern.exec(name)?.[1]);
    const inOrder = [...new Set(found.filter((name) => name !== undefined))];
    directories = new Map(names.map((name, position) => [name, inOrder[position] ?? '']));
  });

  const memberOf = (file: string): string => `${directories.get('work') ?? ''}/${file}`;

  /** The part with data of the volume of `work`, which is not encrypted and so can be found by its text. */
  function dataOfWork(): string {
    const text = `volume ${memberOf('private.img')}\n`;
    const part = membersOf(bytes).find(({ content }) => content.subarray(0, 4096).includes(text));
    return part?.name ?? '';
  }

  /** Changes a byte in the middle of a part of `work`; returns the path of the damaged backup in the storage VM. */
  function damage(file: string): string {
    const name = file === 'private.img' && format === 'coffer-1' ? dataOfWork() : memberOf(file);
    const content = membersOf(bytes).find((member) => member.name.startsWith(name))?.content;
    if (content === undefined) throw new Error(`the backup has no ${name}`);
    const damaged = Buffer.from(bytes);
    const position = bytes.indexOf(content) + (content.length >> 1);
    damaged[position] = (damaged[position] ?? 0) ^ 1;
    writeFileSync(join(box.directory, 'homes/usb/damaged'), damaged);
    return 'damaged';
  }

  function verify(words: string[]): { run: Run; result: Result } {
    const run = box.coffer(['verify', ...box.secret, '--json', ...words]);
    return { run, result: lastEvent(run.stdout) as unknown as Result };
  }

  it.each(WAYS)('is verified to its end, with a result for each VM (%s)', (_, way) => {
    const { run, result } = verify(way(damage('private.img')));
    expect(run).toMatchObject({ status: 3 });
    expect(run.stderr).toMatch(/^warning: work: its private volume is damaged \(part \d+\)\n$/);
    expect(result).toMatchObject({ ok: false, exitStatus: 3 });
    expect(result.qubes.map(({ name, result }) => [name, result])).toEqual([
      ['debian', 'verified'],
      ['work', 'damaged'],
      ['vault', 'verified'],
      ['dom0', 'verified'],
    ]);
  });

  it.each(WAYS)(
    'is shown with the VMs that are complete, which can be restored by name (%s)',
    (_, way) => {
      const words = way(damage('notes.txt'));
      const run = box.loud(['verify', ...box.secret, ...words]);
      expect(run.stdout).toMatch(/work +damaged .*its notes is damaged \(part 0\)/);
      expect(run.stdout).toMatch(/Restore by name what is complete: debian, vault, dom0/);
      const restore = ['restore', ...box.secret, '-y', '--rename-conflicting', ...words];
      const other = box.coffer([...restore, 'vault']);
      expect(other, other.stderr).toMatchObject({ status: 0 });
    },
  );

  it.each(WAYS)('is not restored, and the error names the damaged VM (%s)', (_, way) => {
    const words = way(damage('private.img'));
    const before = box.state;
    const restore = ['restore', ...box.secret, '-y', '--rename-conflicting', ...words];
    const run = box.coffer(restore);
    expect(run).toMatchObject({ status: 3 });
    expect(run.stderr).toMatch(
      /^coffer: work: its private volume is damaged \(part \d+\): nothing was restored.*by name/m,
    );
    expect(box.state).toBe(before);
    const kept = box.coffer([...restore, '--keep-failed']);
    expect(kept.stderr).toMatch(/is kept, though it is incomplete/);
    expect(kept.stderr).not.toContain('nothing was restored');
  });

  it('has no verified VM if its end is missing', () => {
    const short = bytes.subarray(0, bytes.length - 4096);
    writeFileSync(join(box.directory, 'homes/usb/short'), short);
    const { run, result } = verify(['--command', 'cat short']);
    expect(run).toMatchObject({ status: 3 });
    expect(new Set(result.qubes.map(({ result }) => result))).toEqual(new Set(['not verified']));
  });
});
