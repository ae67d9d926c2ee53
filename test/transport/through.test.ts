import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Dom0Storage } from '../../dom0-agent/transport/dom0-storage.ts';
import type { Storage } from '../../dom0-agent/transport/storage.ts';
import { RefusedError, StorageError } from '../../shared/errors.ts';
import { KiB, MiB } from '../../shared/sizes.ts';
import { eventually } from '../eventually.ts';
import { StorageCommand } from './storage-command.ts';
import { Home, buildAgent } from './storage-vm.ts';

const { signal } = new AbortController();
const NAME = 'qubes-backup-2026-01-02T030405';
const content = randomBytes(5 * MiB + 1234);
/** As much of a backup as is looked at before it is deleted. */
const aBackup = Buffer.alloc(4096);
aBackup.write('backup-header\0');
aBackup.write('format=coffer-1\n', 512);

beforeAll(buildAgent);

async function bytesOf(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(Buffer.from(chunk));
  return Buffer.concat(all);
}

async function errorOf(promise: Promise<unknown>): Promise<Error> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof Error) return error;
  throw new Error('nothing was thrown');
}

/** The same requirements, whether the command runs in a VM or in dom0. */
describe.each<[string, (home: Home, through: string) => Storage]>([
  ['sys-usb', (home, through) => home.storage({}, through)],
  ['dom0', (_, through) => new Dom0Storage(through)],
])('a directory accessed through a command in %s', (owner, open) => {
  /** A directory with one file. */
  function place(otherwise: ConstructorParameters<typeof StorageCommand>[1] = {}) {
    const home = new Home();
    writeFileSync(path.join(home.backups, NAME), content);
    const storageCommand = new StorageCommand(home.path, otherwise);
    return {
      ...{ home, storageCommand, storage: open(home, storageCommand.command) },
      [Symbol.dispose]: () => home[Symbol.dispose](),
    };
  }

  async function readAll({ home, storage }: ReturnType<typeof place>): Promise<Buffer> {
    await using files = await storage.openFiles(home.backups, signal);
    return await bytesOf((await files.open(NAME)).read());
  }

  it('stores a file, lists it, and gives any ranges of it', async () => {
    using here = place();
    const { home, storage } = here;
    const target = { directory: home.backups, fileName: 'new-one' };
    await using sink = await storage.openSink(target, content.length, signal);
    for (let at = 0; at < content.length; at += MiB)
      await sink.write(content.subarray(at, at + MiB));
    const stored = await sink.finish();
    expect(stored.location).toBe(`${owner}:${home.backups}/new-one`);
    const listing = await storage.browse(home.backups, signal);
    expect(listing.path).toBe(`${home.backups} (through ${here.storageCommand.command})`);
    expect(listing.entries).toEqual(
      ['new-one', NAME].map((untrustedName) => ({
        ...{ untrustedName, kind: 'FILE', size: content.length },
      })),
    );
    await using files = await storage.openFiles(home.backups, signal);
    const file = await files.open('new-one');
    expect((await bytesOf(file.read())).equals(content)).toBe(true);
    const length = content.length;
    await fc.assert(
      fc.asyncProperty(fc.nat(length - 1), fc.nat(length), async (from, more) => {
        const to = Math.min(from + more, length);
        const part = await bytesOf(file.read(from, to));
        expect(part.equals(content.subarray(from, to))).toBe(true);
      }),
      { numRuns: 15 },
    );
    const ranges = [3, 1, 2].map((part) => ({ file, from: part * 1000, to: part * 1000 + 500 }));
    const parts = ranges.map(({ from, to }) => content.subarray(from, to));
    expect((await bytesOf(files.read(ranges))).equals(Buffer.concat(parts))).toBe(true);
  });

  it('starts few commands for a file that is opened and read in small pieces', async () => {
    using here = place();
    await using files = await here.storage.openFiles(here.home.backups, signal);
    const file = await files.open(NAME);
    for (let at = 0; at < 100 * KiB; at += KiB) await bytesOf(file.read(at, at + 600));
    const end = content.length;
    for (let at = end - 50 * KiB; at < end; at += KiB) await bytesOf(file.read(at, at + 600));
    for await (const some of file.read(1000)) if (some.length > 0) break;
    expect(here.storageCommand.asked().map((line) => line.split(' ')[0])).toEqual([
      ...['list', 'read', 'read'],
    ]);
  });

  it.each<[string, Partial<Record<'list' | 'read', string>>, RegExp]>([
    [
      'outputs less than was asked for',
      { read: 'head -c 10 "$COFFER_FILE"' },
      /gave 10 bytes instead of \d/,
    ],
    ['outputs nothing', { read: ':' }, /gave 0 bytes instead of \d/],
    [
      'outputs more than was asked for',
      { read: 'cat "$COFFER_FILE"; cat "$COFFER_FILE"' },
      /gave more than \d+ bytes/,
    ],
    ['never stops its output', { read: 'cat /dev/zero' }, /gave more than \d+ bytes/],
    [
      'fails after it has output what was asked for',
      {
        read: 'tail -c +$((COFFER_OFFSET + 1)) "$COFFER_FILE" | head -c "$COFFER_LENGTH"; echo oh >&2; exit 7',
      },
      /asked to read \d+ bytes of qubes-backup-\S+, it ended with status 7; its error output: oh/,
    ],
    ['outputs no list', { list: 'echo Welcome' }, /asked to list .*not "SIZE NAME"/],
    [
      'outputs a list with an endless line',
      { list: 'cat /dev/zero' },
      /asked to list .*far too long/,
    ],
    [
      'fails after it has output a list',
      { list: 'echo "1 x"; exit 3' },
      /asked to list .*ended with status 3/,
    ],
  ])('reports where the command runs if the command %s', async (_, otherwise, message) => {
    using here = place(otherwise);
    const error = await errorOf(readAll(here));
    expect(error).toBeInstanceOf(StorageError);
    expect(error.message).toMatch(message);
    expect(error.message).toContain(`The command in ${owner} failed`);
  });

  it('gives other ranges after one that could not be read', async () => {
    const read = '[ "$COFFER_OFFSET" != 2000000 ] || exit 1; dd if="$COFFER_FILE" bs=1M';
    const range =
      'iflag=skip_bytes,count_bytes skip="$COFFER_OFFSET" count="$COFFER_LENGTH" status=none';
    using here = place({ read: `${read} ${range}` });
    await using files = await here.storage.openFiles(here.home.backups, signal);
    const file = await files.open(NAME);
    const at = (from: number) => bytesOf(files.read([{ file, from, to: from + 100 }]));
    expect((await errorOf(at(2_000_000))).message).toContain('status 1');
    expect((await at(2_000_100)).equals(content.subarray(2_000_100, 2_000_200))).toBe(true);
  });

  it('refuses a file that does not exist, and opens one that was created after the listing', async () => {
    using here = place();
    await using files = await here.storage.openFiles(here.home.backups, signal);
    await files.open(NAME);
    const error = await errorOf(files.open('nothing'));
    expect(error).toBeInstanceOf(RefusedError);
    expect(error.message).toContain(`does not exist in ${owner}`);
    writeFileSync(path.join(here.home.backups, 'later'), 'x');
    expect(await bytesOf((await files.open('later')).read())).toEqual(Buffer.from('x'));
  });

  it.each(['-rf', '.hidden', 'a b', 'a;b', '$(x)', '../x', 'x\n1 y', '', 'x'.repeat(201)])(
    'refuses the file name %j without calling the command',
    async (fileName) => {
      using here = place();
      const { home, storage, storageCommand } = here;
      const target = { directory: home.backups, fileName };
      expect(await errorOf(storage.openSink(target, undefined, signal))).toBeInstanceOf(
        RefusedError,
      );
      const deletion = storage.deleteBackups(home.backups, [NAME, fileName], signal);
      expect(await errorOf(deletion)).toBeInstanceOf(RefusedError);
      await using files = await storage.openFiles(home.backups, signal);
      expect(await errorOf(files.open(fileName))).toBeInstanceOf(RefusedError);
      expect(storageCommand.asked()).toEqual([]);
    },
  );

  it('lists files with names that it refuses as OTHER', async () => {
    using here = place({ list: 'echo "5 a b"; echo "6 -rf"; echo "7 good"' });
    const { entries } = await here.storage.browse(here.home.backups, signal);
    expect(entries.map(({ kind, size }) => [kind, size])).toEqual([
      ...[
        ['OTHER', 0],
        ['OTHER', 0],
        ['FILE', 7],
      ],
    ]);
  });

  it('lists at most 10,000 files, and reports if there are more', async () => {
    using here = place({ list: 'seq 1 20000 | sed "s/^/1 n/"; sleep 1000' });
    const listing = await here.storage.browse(here.home.backups, signal);
    expect(listing.truncated).toBe(true);
    expect(listing.entries).toHaveLength(10_000);
  });

  it('is refused if its path is empty or has a control character, or if the command is empty', async () => {
    using here = place();
    for (const directory of ['', 'a\nb', 'a\0b']) {
      expect(await errorOf(here.storage.browse(directory, signal))).toBeInstanceOf(RefusedError);
    }
    const error = await errorOf(open(here.home, ' ').browse('x', signal));
    expect(error).toBeInstanceOf(RefusedError);
    expect(here.storageCommand.asked()).toEqual([]);
  });

  it('refuses to store a file with the name of an existing one', async () => {
    using here = place();
    const target = { directory: here.home.backups, fileName: NAME };
    const error = await errorOf(here.storage.openSink(target, undefined, signal));
    expect(error).toBeInstanceOf(RefusedError);
    expect(here.storageCommand.asked()).toEqual(['list']);
  });

  it('reports that a file was not stored if the command fails', async () => {
    using here = place({ write: 'head -c 1000 > /dev/null; echo full >&2; exit 28' });
    const target = { directory: here.home.backups, fileName: 'new' };
    await using sink = await here.storage.openSink(target, undefined, signal);
    const send = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) await sink.write(content);
      await sink.finish();
    };
    expect((await errorOf(send())).message).toMatch(
      /asked to write new, it ended with status 28.*full/,
    );
  });

  it('kills the command of an abandoned file before the command sees the end of its input', async () => {
    using here = place({ write: 'trap "" TERM; cat > taken; echo ended > ended; sleep 1000' });
    const { home, storage } = here;
    {
      const target = { directory: home.backups, fileName: 'new' };
      await using sink = await storage.openSink(target, undefined, signal);
      await sink.write(content);
      await eventually(() => existsSync(path.join(home.backups, 'taken')), 'the command');
    }
    expect(home.files()).toEqual([NAME, 'taken']);
  });

  it('deletes backups only, and reports a result for each name', async () => {
    using here = place();
    const { home, storage } = here;
    for (const name of ['one', 'two']) writeFileSync(path.join(home.backups, name), aBackup);
    const names = ['one', NAME, 'nothing', 'two'];
    const deletions = await storage.deleteBackups(home.backups, names, signal);
    expect(deletions.map(({ result }) => result)).toEqual([
      ...['DELETED', 'NOT_A_BACKUP', 'ABSENT', 'DELETED'],
    ]);
    expect(home.files()).toEqual([NAME]);
    expect(readFileSync(path.join(home.backups, NAME)).equals(content)).toBe(true);
  });

  it('reports that a backup was not deleted if the command fails', async () => {
    using here = place({ delete: 'echo no >&2; exit 1' });
    writeFileSync(path.join(here.home.backups, 'one'), aBackup);
    const [deletion] = await here.storage.deleteBackups(here.home.backups, ['one'], signal);
    expect(deletion?.result).toBe('FAILED');
    expect(deletion?.reason).toMatch(/asked to delete one, .*: no$/);
  });

  type Step = (storage: Storage, directory: string, signal: AbortSignal) => Promise<unknown>;
  const store: Step = (storage, directory, interrupted) =>
    storage.openSink({ directory, fileName: 'new-one' }, undefined, interrupted);
  const read: Step = async (storage, directory, interrupted) => {
    await using files = await storage.openFiles(directory, interrupted);
    await files.open(NAME);
  };
  const list: Step = (storage, ...asked) => storage.browse(...asked);
  const remove: Step = (storage, directory, interrupted) =>
    storage.deleteBackups(directory, [NAME], interrupted);
  it.each<[string, 'list' | 'read' | 'delete', Step]>([
    ['before it stores', 'list', store],
    ['before it reads', 'list', read],
    ['to list', 'list', list],
    ['before it deletes', 'list', remove],
    ['to look at what it is to delete', 'read', remove],
    ['to delete', 'delete', remove],
  ])('stops when it is interrupted while the command hangs %s', async (_, verb, step) => {
    using here = place({ [verb]: 'echo $$ > pid; exec sleep 1000' });
    const { home, storage } = here;
    writeFileSync(path.join(home.backups, NAME), aBackup);
    const interruption = new AbortController();
    const outcome = errorOf(step(storage, home.backups, interruption.signal));
    const file = path.join(home.backups, 'pid');
    await eventually(() => existsSync(file) && readFileSync(file, 'utf8') !== '', 'the command');
    interruption.abort(new Error('interrupted'));
    expect((await outcome).message).toMatch(/interrupted/);
    const pid = readFileSync(file, 'utf8').trim();
    await eventually(() => !existsSync(`/proc/${pid}`), 'the end of the command');
  });
});

it('a command that hangs is killed, and reported as silent', async () => {
  using home = new Home();
  writeFileSync(path.join(home.backups, NAME), content);
  const here = new StorageCommand(home.path, { read: 'echo $$ > pid; sleep 1000' });
  const storage = home.storage({ stall: 1_500 }, here.command);
  const read = async (): Promise<void> => {
    await using files = await storage.openFiles(home.backups, signal);
    await bytesOf((await files.open(NAME)).read());
  };
  expect((await errorOf(read())).message).toMatch(/sys-usb .*silent/);
  const pid = readFileSync(path.join(home.backups, 'pid'), 'utf8').trim();
  await eventually(() => !existsSync(`/proc/${pid}`), 'the end of the command');
});

it('a VM runs several commands at the same time to read ranges, but never more than four', async () => {
  using home = new Home();
  writeFileSync(path.join(home.backups, NAME), content);
  const read = `
    mkdir ../running.$$; ls -d ../running.* | wc -l >> ../counts; sleep 0.2
    dd if="$COFFER_FILE" bs=1M iflag=skip_bytes,count_bytes skip="$COFFER_OFFSET" count="$COFFER_LENGTH" status=none
    rmdir ../running.$$`;
  const here = new StorageCommand(home.path, { read });
  await using files = await home.storage({}, here.command).openFiles(home.backups, signal);
  const file = await files.open(NAME);
  const ranges = Array.from({ length: 20 }, (_, i) => ({
    file,
    from: 9000 * i,
    to: 9000 * i + 10,
  }));
  await bytesOf(files.read(ranges));
  const counts = readFileSync(path.join(home.path, 'counts'), 'utf8')
    .trim()
    .split('\n')
    .map(Number);
  expect(Math.max(...counts)).toBeLessThanOrEqual(4);
  expect(Math.max(...counts)).toBeGreaterThan(1);
});
